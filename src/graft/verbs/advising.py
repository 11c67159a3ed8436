"""`graft advise`: which body, which layer and which way, measured on the learning rows before anything is trained."""

import shlex
from collections.abc import Sequence
from importlib import import_module

from .. import catalog
from ..advisor import rank, rules
from ..assembly import measuring, modality, nominating
from ..assembly.choosing import name_task, text_epochs
from ..assembly.wiring import read
from ..core import Backbone, Data, Task
from ..engine import device
from ..engine.device import Machine
from ..engine.journal import Journal
from ..errors import GraftError, OptionError
from ..methods import recipe
from ..spec import Part, Spec, backbone_row, options

FIXED_SECONDS = 12.0
"""Reading, scoring and reporting a small set, besides passes and training."""


def advise(spec: Spec, journal: Journal, named: Sequence[str] = ()) -> dict:
    """The content of advice.json. Raises GraftError where the data cannot be read, or no body can be loaded."""
    machine = device.find(spec.threads)
    spec, data = read(spec, journal)
    spec = name_task(spec, data, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    bodies, costs, failed = [], {}, []
    if data.schema.target not in ("class", "labels", "number"):
        raise OptionError("Layers are compared by a label for each sample, which these data have not; fit them with graft fit.")
    for part in nominating.candidates(spec, named, data.schema.modality):
        try:
            body, opts = nominating.load(part, spec)
            body = modality.suited(body, data, spec.task.values.get("pairs", "auto"))
        except GraftError as error:
            if any(part.name == one.partition("=")[0].strip() for one in named) or part.name == spec.backbone.name:
                raise
            failed.append({"name": part.name, "why": str(error)})
            continue
        head = source_head(part, opts, body)
        row = measuring.measure(body, data, task, machine, journal, spec.seed, head).body
        if row["name"] in costs:
            row["name"] = f"{row['name']} ({row['weights']})"
        row["best_layer"], row["spec"] = rank.best_layer(row["layers"]), {"name": part.name, **part.values}
        bodies.append(row)
        costs[row["name"]] = cost(body, row, data, task, machine)
        journal.write("measured", name=row["name"], best_layer=row["best_layer"], similarity=row["similarity"], probe=_probe(row))
    if not bodies:
        raise OptionError("No body could be loaded to be measured; name one with --backbones.")
    return told(spec, data, bodies, costs, failed)


def source_head(part: Part, opts: object, body: Backbone) -> tuple | None:
    """The classifier the body was trained with, where its library knows one and its weights hold it."""
    finder = getattr(import_module(backbone_row(part.name).target.partition(":")[0]), "source_head", None)
    return finder and finder(part.name, opts, body.widths[-1])


def cost(body: Backbone, row: dict, data: Data, task: Task, machine: Machine) -> dict[str, rank.Cost]:
    """Seconds and memory of each strategy: of the frozen pass as measured, of fine-tuning by a trial of single passes."""
    count = len(data.learning())
    scored = len(data.test) if data.test is not None else 0
    passes = (data.plan.folds or 1) if data.plan is not None else 1
    frozen = FIXED_SECONDS + row["seconds_per_1000"] * (count + scored) / 1000
    out = {"extract": rank.Cost(frozen, None)}
    if not any(p.requires_grad or p.is_floating_point() for p in body.stages.parameters()):
        return out
    opts = catalog.options("method", "lp_ft")()
    each, memory = measuring.step_cost(body, task, data, machine, opts)
    rounds = text_epochs(opts.batch, count) if data.schema.modality == "text" else recipe.epochs(opts, count)
    # Optimizer, loading and scoring come to about a quarter of the passes.
    seconds = frozen + 1.25 * each * count * rounds * (passes + 1 if data.plan.folds else 1)
    return out | {"lp_ft": rank.Cost(seconds, memory), "finetune": rank.Cost(seconds, memory)}


def told(spec: Spec, data: Data, bodies: list[dict], costs: dict, failed: list[dict]) -> dict:
    """advice.json from what was measured."""
    counts = measuring.class_counts(data)
    first = next(row for row in bodies if row["name"] == rank.order(bodies)[0])
    rule = rules.cell(list(counts.values()), first["similarity"]["level"])
    measured = {one["name"]: (one["probe"], *one["interval"]) for one in first["layers"]}
    agrees, words = rules.agreement(rule, measured)
    strategies = rank.rank(bodies, rule, costs, len(data.learning()), spec.budget)
    return {
        "source": data.source, "rows": len(data.learning()), "classes": len(data.schema.classes), "balance": counts,
        "metric": first["layers"][-1]["metric"], "bodies": bodies, "order": rank.order(bodies),
        "rule": rule.as_dict() | {"body": first["name"]},
        "agrees": agrees, "agreement": words, "strategies": strategies, "left_out": failed, "seed": spec.seed,
    }  # fmt: skip


def spec_of(advice: dict, number: int = 1) -> Spec:
    """The spec of a strategy by its rank: what advice.toml holds."""
    strategy = next(one for one in advice["strategies"] if one["rank"] == number)
    body = next(one for one in advice["bodies"] if one["name"] == strategy["backbone"])
    last = body["layers"][-1]["name"]
    layers = strategy["layers"] if strategy["layers"] and strategy["layers"] != [last] else None
    held = dict(body["spec"])
    name = held.pop("name")
    sets = [f"backbone.{key}={value}" for key, value in held.items() if value is not None]
    freeze = strategy["freeze"] if strategy["method"] == "finetune" and strategy["freeze"] not in (None, "none") else None
    return Spec.make(advice["source"], backbone=name, method=strategy["method"], layers=layers, freeze=freeze, sets=sets)


def toml(advice: dict) -> str:
    """advice.toml: the first strategy as a spec, the others and the reasons as comments."""
    first, *rest = advice["strategies"]
    lines = [
        "# Advice of graft, measured on the learning rows; use it with:",
        f"#   graft fit {shlex.quote(advice['source'])} --advice THIS_FILE",
        *(f"# because: {reason}" for reason in first["reasons"]),
    ]
    for other in rest[:5]:
        layers = f" on {', '.join(other['layers'])}" if other["layers"] else ""
        lines.append(f"# also: {other['backbone']} {other['method']}{layers}, expected {other['expected']:.3f}")
    return "\n".join([*lines, "", spec_of(advice).to_toml()])


def _probe(row: dict) -> float:
    return next(one["probe"] for one in row["layers"] if one["name"] == row["best_layer"])
