"""The model card: what the model is, what it was made from, how good it is, and what it must not be used for."""

import os


def text(described: dict, extra: dict) -> str:
    """Markdown from the content of graft.json and what the run knows (see `bundle.write`): a pure function, no clock, no files."""
    scores, data, schema = extra.get("scores") or {}, extra.get("data") or {}, described["task"]["schema"]
    source = os.path.basename(str(data.get("source", "")).rstrip("/\\")) or "the training data"
    parts = [
        _front(described),
        f"# {source}: {_what(schema)}\n",
        _summary(described, scores, schema),
        _load(schema),
        _scores(scores, schema),
        _data(data, source),
        _limits(scores, schema, source),
        _lineage(described),
        _teacher(described.get("teacher")),
        _origin(described["backbone"]["origin"]),
        _made(described, scores, extra),
    ]
    return "\n".join(part for part in parts if part)


def _front(described: dict) -> str:
    """The front matter that model hubs read."""
    schema = described["task"]["schema"]
    text = {"number": "text-regression", "tags": "token-classification", "spans": "question-answering", "language": "text-generation"}
    text["none"] = "feature-extraction"
    image = {"number": "image-regression", "none": "image-feature-extraction"}
    kind = text.get(schema["target"], "text-classification") if _text(schema) else image.get(schema["target"], "image-classification")
    return f"---\nlibrary_name: graft\ntags: [{kind}, transfer-learning]\n---\n"


def _what(schema: dict) -> str:
    one = f"{'a' if _text(schema) else 'an'} {noun(schema)[:-1]}"
    return {
        "class": f"one label for {one}", "labels": f"any number of labels for {one}", "number": f"a number for {one}",
        "tags": "names in a text", "spans": "answers from a text", "language": "how a text goes on",
        "none": f"features of {one}, learnt without labels",
    }[schema["target"]]  # fmt: skip


def noun(schema: dict) -> str:
    """What the card calls the samples: "texts", else "images"."""
    return "texts" if _text(schema) else "images"


def _text(schema: dict) -> bool:
    return schema.get("modality") == "text"


def _summary(described: dict, scores: dict, schema: dict) -> str:
    body = described["backbone"]["origin"]["name"]
    how = f", adapted with the method `{scores['method']}`" if scores.get("method") else ""
    lines = [f"The body `{body}`{how} by graft {described['graft']}."]
    if schema["classes"]:
        shown = ", ".join(f"`{name}`" for name in schema["classes"][:50])
        more = len(schema["classes"]) - 50
        kinds = "tags" if schema["target"] == "tags" else "classes"
        lines.append(f"It tells {len(schema['classes'])} {kinds} apart: {shown}{f' and {more} more (see graft.json)' if more > 0 else ''}.")
    prepare = described["backbone"]["prepare"]
    if _text(schema):
        each = "words, each letter by letter," if prepare.get("kind") == "characters" else "tokens"
        lines.append(f"It reads {prepare.get('length')} {each} at most, and nothing behind them; it prepares texts itself.")
    else:
        lines.append(f"It looks at {prepare['size']} x {prepare['size']} pixels, cut from the centre; it prepares images itself.")
    return "\n".join(lines) + "\n"


_GIVEN = {
    "pair": ('("A text.", "Another.")', '"A text." --context "Another."'),
    "class": ('"A text."', '"A text."'),
    "spans": ('("The question?", "The text that holds its answer.")', '"The question?" --context "The text that holds its answer."'),
    "language": ('"The beginning of a text"', '"The beginning of a text"'),
}
"""What a model of texts is given, in Python and on the command line."""


_FEATURES = """## How to use it

Teach it your labels, of few samples too: `graft fit LABELLED --backbone run:path/to/this/folder`. It has no classes to predict.
The folder is all that is needed: weights as safetensors, everything else as JSON; nothing in it is executed.
"""


def _load(schema: dict) -> str:
    if schema["target"] == "none":
        return _FEATURES
    says = "print(answer.path, answer.label)" if schema["target"] != "class" else "print(answer.path, answer.label, answer.probability)"
    asked, line = (
        _GIVEN.get("pair" if schema.get("pair") else schema["target"], _GIVEN["class"]) if _text(schema) else ('"photo.jpg"', "photo.jpg")
    )
    return (
        "## How to use it\n\n"
        "```python\nimport graft\n\n"
        'model = graft.load("path/to/this/folder")\n'
        f"for answer in model.predict([{asked}]):\n    {says}\n```\n\n"
        f"From the command line: `graft predict path/to/this/folder {line}`.\n"
        "The folder is all that is needed: weights as safetensors, everything else as JSON; nothing in it is executed.\n"
    )


def _scores(scores: dict, schema: dict) -> str:
    split = scores.get("scored") or ("test" if scores.get("test") else "val")
    table = scores.get(split)
    if not table:
        return "## Scores\n\nThis model was not scored.\n"
    count = (scores.get("n") or {}).get("scored")
    on = scores.get("scored_as") or split
    if schema["target"] == "none":
        return _changes(scores, table, on)
    lines = [f"## Scores\n\nOn {on}{f' ({count} samples)' if count else ''}, with 95 % intervals.\n"]
    if scores.get("optimistic"):
        lines.append(f"**Optimistic:** the rows that were scored also selected the model, so expect less on new {noun(schema)}.\n")
    lines += ["| metric | value | 95 % interval |", "|---|---|---|"]
    names = [name for name in table if name == scores.get("primary")] + [name for name in table if name != scores.get("primary")]
    for name in names:
        value, interval = table[name]["value"], table[name].get("interval")
        bounds = f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
        lines.append(f"| {name}{' (primary)' if name == scores.get('primary') else ''} | {_number(value)} | {bounds} |")
    if scores.get("calibration"):
        before, after = scores["calibration"]["before"], scores["calibration"]["after"]
        lines.append(f"\nCalibration error before and after temperature scaling: {_number(before)}, {_number(after)}.")
    return "\n".join(lines) + "\n"


def _changes(scores: dict, table: dict, on: str) -> str:
    """What features were before and after; what they are worth, labels alone say."""
    before = scores.get("before") or {}
    lines = [f"## Features\n\nOn {on}. What they are worth on a task is not known before it has labels.\n"]
    lines += ["| measure | before | after |", "|---|---|---|"]
    lines += [f"| {name} | {_number(before.get(name))} | {_number(one['value'])} |" for name, one in table.items()]
    return "\n".join(lines + ([f"\n**{scores['collapse']}**"] if scores.get("collapse") else [])) + "\n"


def _data(data: dict, source: str) -> str:
    counts = data.get("counts") or {}
    if not counts:
        return ""
    lines = [
        f"## Data\n\n{source}; fingerprint `{data.get('fingerprint', 'unknown')}`.\n",
        "| rows that | samples | by class |",
        "|---|---|---|",
    ]
    for split, by_class in counts.items():
        split = {"train": "learnt", "val": "selected", "test": "were scored"}.get(split, split)
        if isinstance(by_class, dict):
            shown = ", ".join(f"{name}: {count}" for name, count in list(by_class.items())[:20])
            lines.append(f"| {split} | {sum(by_class.values())} | {shown}{', ...' if len(by_class) > 20 else ''} |")
        elif by_class is not None:
            lines.append(f"| {split} | {by_class} | |")
    warnings = [note["text"] for note in data.get("notes") or [] if note.get("level") == "warning"]
    return "\n".join(lines + [f"\n- {warning}" for warning in warnings]) + "\n"


_TOLD = {
    "tags": "- Kinds of names that it was not taught are never marked, and names are missed more often in texts of another kind.",
    "spans": "- An answer is always a piece of the given text: it cannot combine, count or correct what stands there.",
    "language": "- What it writes is likely, not true. Nothing keeps it from writing what is false or hurts.",
    "none": "- It says nothing by itself: its features are a start for a model that has labels, which is to be scored anew.",
}


def _limits(scores: dict, schema: dict, source: str) -> str:
    many, one = noun(schema), "a text" if _text(schema) else "an image"
    lines = ["## Intended use and limits\n", f"- For {many} like those of {source}. On others the scores above say nothing; measure first."]
    if schema["target"] == "class":
        what = "is of" if _text(schema) else "shows"
        lines.append(f"- It always answers with one of its classes, also for {one} that {what} none of them.")
        lines.append(f"- Probabilities are calibrated on the same kind of {many}; they do not tell that {one} is of another kind.")
    elif schema["target"] == "labels":
        lines.append("- A label it was not taught is never given; no label at 0.5 or more means none of those it knows.")
    elif schema["target"] in _TOLD:
        lines.append(_TOLD[schema["target"]])
    else:
        lines.append("- Numbers outside the range of the training data are extrapolated and should not be trusted.")
    lines.append("- It has the biases of its data and of the body's data. Not for decisions about people without a review of both.")
    total = sum(count for count in (scores.get("n") or {}).values() if isinstance(count, int))
    if 0 < total < 200:
        lines.append(f"- It was made from {total} samples in all, which is few: the intervals above are wide for that reason.")
    return "\n".join(lines) + "\n"


def _lineage(described: dict) -> str:
    """What the body learnt, task after task, where it learnt more than one: each with its data and the hash of the weights it gave."""
    earlier, own = described.get("earlier") or [], described.get("learnt") or {}
    if not earlier:
        return ""
    lines = [
        f"## What it learnt, in this order\n\nThe heads of earlier tasks are kept: `model.predict(items, task=\"{earlier[0]['name']}\")`, "
        f"or `graft predict path/to/this/folder ... --task {earlier[0]['name']}`. How well the body still does them is for `graft chain` "
        "to measure.\n",
        "| step | task | learns | method | rows | data's fingerprint | sha256 of the weights |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    last = {"name": own.get("name"), "task": described["task"], "run": {**own, "sha256": (described.get("weights") or {}).get("sha256")}}
    for step, one in enumerate([*earlier, last], start=1):
        run, schema = one.get("run") or {}, one["task"]["schema"]
        what = ", ".join(schema["classes"][:10]) + (", ..." if len(schema["classes"]) > 10 else "") or "a number"
        cells = (one["name"], what, run.get("method"), run.get("rows"), run.get("fingerprint"), run.get("sha256"))
        lines.append(f"| {step} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _teacher(teacher: dict | None) -> str:
    """Whose answers the model learnt from: what that one gets wrong, this one may."""
    if not teacher:
        return ""
    name, body, sha256 = (_cell(teacher.get(one)) for one in ("name", "body", "sha256"))
    return (
        f"## Its teacher\n\nIt learnt from the answers of `{name}` (the body `{body}`, sha256 of the weights `{sha256}`), beside "
        "the labels or in their place. What that model gets wrong, this one may have learnt, and its licence is to be looked at too.\n"
    )


def _origin(origin: dict) -> str:
    """The chain of weights, oldest first: each with its hash, licence and data."""
    lines = ["## Where its weights come from\n", "| step | name | weights | trained on | licence | sha256 |", "|---|---|---|---|---|---|"]
    for step, one in enumerate([*origin.get("parents", ()), origin], start=1):
        cells = (one.get("name"), one.get("weights"), one.get("trained_on"), one.get("licence"), one.get("sha256") or "none")
        lines.append(f"| {step} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    unknown = any(one.get("licence") in (None, "", "unknown") for one in [*origin.get("parents", ()), origin])
    lines.append("\nThe model may be passed on only as far as all of these licences, and those of its data, allow.")
    if unknown:
        lines.append("The licence of at least one step is unknown: find it out before you pass the model on.")
    return "\n".join(lines) + "\n"


def _made(described: dict, scores: dict, extra: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in described["versions"].items())
    lines = [f"## How it was made\n\n{described['created']}, with {versions}."]
    if scores.get("seconds") is not None:
        lines.append(f"It took {_number(scores['seconds'])} s; {scores.get('trainable_params', 'an unknown number of')} parameters learnt.")
    if extra.get("command"):
        lines.append(f"\n```\n{extra['command']}\n```")
    return "\n".join(lines) + "\n"


def _number(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def _cell(value: object) -> str:
    return str("unknown" if value in (None, "") else value).replace("|", "\\|").replace("\n", " ")
