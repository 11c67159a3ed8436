"""What can be read of a run folder, however much of it is there."""

import base64
import io
import json
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image


@dataclass
class Record:
    """What could be read of a run folder. Missing or broken files are empty; `unread` names the broken ones."""

    folder: Path
    unread: list[str] = field(default_factory=list)

    @cached_property
    def journal(self) -> list[dict]:
        rows = []
        for line in self.text("journal.jsonl").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # a line that a kill cut short
                continue
            if isinstance(row, dict) and "event" in row:
                rows.append(row)
        return rows

    @cached_property
    def scores(self) -> dict:
        return self.json("scores.json", {})

    @cached_property
    def data(self) -> dict:
        return self.json("data.json", {})

    @cached_property
    def environment(self) -> dict:
        return self.json("environment.json", {})

    @cached_property
    def spec(self) -> dict:
        try:
            return tomllib.loads(self.text("spec.toml"))
        except tomllib.TOMLDecodeError:
            self.unread.append("spec.toml")
            return {}

    @cached_property
    def predictions(self) -> pa.Table | None:
        """The rows that were scored, or None."""
        path = self.folder / "predictions.parquet"
        if not path.is_file():
            return None
        try:
            table = pq.read_table(path)
            if "split" in table.column_names:
                role = self.scores.get("scored") or ("test" if "test" in table["split"].to_pylist() else "val")
                some = table.filter(pc.equal(table["split"], role))
                table = some if some.num_rows else table
            if table.num_rows and {"label", "predicted"} <= set(table.column_names):
                return table
        except (OSError, pa.ArrowException):
            self.unread.append("predictions.parquet")
        return None

    @cached_property
    def classes(self) -> list[str]:
        for found in (self.scores.get("classes"), (self.data.get("schema") or {}).get("classes"), self.last("data").get("classes")):
            if isinstance(found, list) and found:
                return [str(name) for name in found]
        return []

    @cached_property
    def modality(self) -> str:
        """ "text" where the run, the check, the advice, the study or the distillation says so, else "image"."""
        schema = self.data.get("schema")
        said = [schema.get("modality") if isinstance(schema, dict) else None, self.last("data").get("modality")]
        said += [self.json(name, {}).get("modality") for name in ("check.json", "advice.json", "study.json", "distill.json")]
        return "text" if "text" in said else "image"

    def all(self, event: str) -> list[dict]:
        return [row for row in self.journal if row["event"] == event]

    def last(self, *events: str) -> dict:
        return next((row for row in reversed(self.journal) if row["event"] in events), {})

    def json(self, name: str, empty):
        text = self.text(name)
        try:
            found = json.loads(text) if text else empty
        except ValueError:
            found = None
        if not isinstance(found, type(empty)):
            self.unread.append(name)
            return empty
        return found

    def matrix(self, column: str) -> np.ndarray | None:
        """A list<double> column of the predictions as [n, k]; None where it is absent, ragged or has nulls."""
        table = self.predictions
        if table is None or column not in table.column_names:
            return None
        values = table[column].combine_chunks()
        if values.null_count or not pa.types.is_list(values.type):
            return None
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(float)
        if not len(flat) or len(flat) % len(values) or not np.isfinite(flat).all():
            return None
        return flat.reshape(len(values), -1)

    def target(self) -> str:
        """ "class", "labels" or "number", from the predictions' own type; of texts also "tags", "spans" or "language", as the data say;
        "none" where there were no labels."""
        schema = self.data.get("schema")
        if isinstance(schema, dict) and schema.get("target") in ("tags", "spans", "language", "none"):
            return schema["target"]
        if self.predictions is None:
            return ""
        kind = self.predictions["label"].type
        return "labels" if pa.types.is_list(kind) else "number" if pa.types.is_floating(kind) or pa.types.is_integer(kind) else "class"

    def text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError:
            self.unread.append(name)
            return ""


def listed(value) -> list:
    """A list as it is; [] for anything else that a file may hold in its place."""
    return list(value) if isinstance(value, list | tuple) else []


def rows(value) -> list[dict]:
    """The tables of a list of tables."""
    return [row for row in listed(value) if isinstance(row, dict)]


def texts(value) -> list[str]:
    """A list of texts, or the one text."""
    return [value] if isinstance(value, str) and value else [str(one) for one in listed(value) if one]


def phrases(value) -> list[str]:
    """Texts without their full stops, to be joined into one sentence."""
    return [text.strip().rstrip(".") for text in texts(value)]


def picture(folder: Path, name, exact: bool = False) -> str:
    """A picture beside the run as a data URI, small; "" where it is missing or broken. Only names inside `folder` are read."""
    if not isinstance(name, str) or not name:
        return ""
    out = io.BytesIO()
    try:
        with Image.open(folder / Path(name).name) as image:
            image.load()
            image = image.convert("RGBA" if "A" in image.getbands() else "RGB")
            image.save(out, "WEBP", quality=84, lossless=exact)
    except (OSError, ValueError, SyntaxError):
        return ""
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
