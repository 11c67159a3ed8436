"""Every automatic choice of a fit, each written down with its reason and the flag that overrides it; what the user named stays."""

from dataclasses import replace

import numpy as np

from .. import catalog
from ..advisor import rank, rules
from ..core import Backbone, Data, Task
from ..engine.device import Machine
from ..engine.journal import Journal
from ..errors import OptionError
from ..readers.sniff import reader_of
from ..spec import Part, Spec, options
from ..tasks import representation, spans
from . import measuring, modality, nominating

FIXED_SECONDS = 14.0
"""Of a budget, kept for starting, reading, frozen passes, scoring and the report of a small set."""
LEARNING_SHARE = 0.65
"""Of the rest, for the chosen method where alternatives run beside it."""


def name_reader(spec: Spec, journal: Journal) -> Spec:
    if spec.data.name != "auto":
        return spec
    name, why = reader_of(spec.data.values["path"])
    journal.decide("reader", name, why, "--reader")
    return replace(spec, data=Part(name, spec.data.values))


def name_task(spec: Spec, data: Data, journal: Journal) -> Spec:
    if spec.task.name != "auto":
        if spec.task.name in TASKS.values() and spec.task.name != TASKS[data.schema.target]:
            raise OptionError(
                f"Task '{spec.task.name}' does not fit these data, whose labels are {LABELS[data.schema.target]}; "
                f"use --task {TASKS[data.schema.target]}, or leave it out."
            )
        return spec
    name = TASKS[data.schema.target]
    journal.decide("task", name, f"the labels are {LABELS[data.schema.target]}", "--task")
    return replace(spec, task=Part(name, spec.task.values))


TASKS = {
    "class": "classification", "labels": "multilabel", "number": "regression", "tags": "tags", "spans": "spans", "language": "language",
    "none": "representation",
}  # fmt: skip
LABELS = {
    "class": "one name a sample", "labels": "several names a sample", "number": "numbers", "tags": "a tag a word",
    "spans": "answers inside a context", "language": "the texts themselves", "none": "not there",
}  # fmt: skip
FEW_TEXTS = 64
"""Rows of the median class up to which the body is fine-tuned on pairs of them; beyond, head and body learn together."""
MORE_TEXTS, MORE_ROWS = 128, 512
"""The same where there are no more than so many rows in all. On 128 of each of two classes (rt_polarity, learning rows alone, two draws)
pairs had 0.765 and 0.741, fine-tuning 0.759 and 0.710; of each of four (ag_news) 0.891 and 0.879, fine-tuning 0.873 and 0.871."""


def name_pairs(spec: Spec, data: Data, body: Backbone, journal: Journal) -> Backbone:
    """The body as it reads the data, and of pairs a word on whether their two texts are read as one."""
    told = spec.task.values.get("pairs", "auto")
    body = modality.suited(body, data, told)
    if data.schema.pair and told == "auto":
        if body.prepare.kind == "characters":
            why = f"{body.origin.name} reads one text at a time"
        elif body.prepare.apart:
            why = f"{body.origin.name} was trained to compare vectors of texts; both as one learn more from many thousands of pairs"
        else:
            why = f"{body.origin.name} was not trained to compare vectors of texts"
        journal.decide("pairs", "each text apart" if body.prepare.apart else "both texts as one", why, "--set task.pairs=apart|together")
    return body


def name_kind(spec: Spec, data: Data, body: Backbone, journal: Journal) -> Spec:
    """Of a language model: whether it goes on with a text or fills in what is masked, as its body does; of questions, whether
    some have no answer."""
    if data.schema.target == "spans" and spec.task.values.get("none") is None:
        none = spans.settle(options("task", spec.task), data).none
        why = "some training questions have none" if none else "every training question has one"
        journal.decide("no answer", "possible" if none else "never given", why, "--set task.none=true|false")
        return replace(spec, task=Part(spec.task.name, {**spec.task.values, "none": none}))
    if data.schema.target != "language":
        return spec
    usual, length = catalog.options("task", spec.task.name).block, body.prepare.length
    if "block" not in spec.task.values and usual > length:
        journal.decide("tokens of a row", str(length), f"{body.origin.name} reads no more", "--set task.block=N")
        spec = replace(spec, task=Part(spec.task.name, {**spec.task.values, "block": length}))
    if spec.task.values.get("kind", "auto") != "auto":
        return spec
    kind = "causal" if body.causal else "masked"
    journal.decide("kind of language model", kind, f"{body.origin.name} was trained so", "--set task.kind=causal|masked")
    return replace(spec, task=Part(spec.task.name, {**spec.task.values, "kind": kind}))


def name_length(spec: Spec, data: Data, journal: Journal) -> Spec:
    """What fine-tuning a text body has differently from an image body: few rounds, and rates that fall less from layer to layer."""
    known = catalog.options("method", spec.method.name).__dataclass_fields__
    if data.schema.modality != "text" or "epochs" not in known or getattr(options("method", spec.method), "own_length", False):
        return spec
    own = {name: told for name, told in TEXT_RATES.get(spec.method.name, {}).items() if name not in spec.method.values}
    for name, (value, why) in own.items():
        journal.decide(name, f"{value:g}", why, f"--set method.{name}")
    told = {name: value for name, (value, _) in own.items()}
    spec = replace(spec, method=Part(spec.method.name, {**spec.method.values, **told}))
    if "epochs" in spec.method.values:
        return spec
    batch = spec.method.values.get("batch", known["batch"].default)
    epochs = text_epochs(batch, len(data.train))
    why = f"about {TEXT_STEPS} steps within 2 to 10 rounds are what a text body needs"
    journal.decide("epochs", str(epochs), why, "--epochs")
    return replace(spec, method=Part(spec.method.name, {**spec.method.values, "epochs": epochs}))


def text_epochs(batch: int, rows: int) -> int:
    """Rounds over so many texts in which a body is fine-tuned."""
    return max(2, min(10, round(TEXT_STEPS * batch / max(rows, 1))))


TEXT_STEPS = 500
_ALIKE = (0.9, "the layers of a text body are more alike than those of an image body")
TEXT_RATES = {
    "finetune": {"decay": _ALIKE, "smoothing": (0.0, "the temperature calibrates")},
    "lp_ft": {"decay": _ALIKE, "lr": (2e-5, "a head that is solved on small features is steep, and larger rates wreck what it stands on")},
}
"""Sun et al. (2019), "How to fine-tune BERT", found a decay of 0.95 best of four; on rt_polarity 0.9 did better than the 0.8 of images."""


def tell_cut(streams, data: Data, journal: Journal) -> None:
    """Texts longer than the body reads are cut, and that is said."""
    if data.schema.modality != "text":
        return
    cut = np.array([one.cut for one in streams.tokens(data.train)])
    if cut.any():
        share, longest = float((cut > 0).mean()), int(cut.max()) + streams.prepare.length
        length = streams.prepare.length
        text = f"{share:.1%} of the training texts are longer than {length} tokens (up to about {longest}) and are cut there; "
        text += "--set backbone.length=N reads more, where the body can."
        journal.write("note", level="warning" if share > 0.1 else "info", text=text, count=int((cut > 0).sum()), files=[])


def name_method(spec: Spec, data: Data, body: Backbone, machine: Machine, journal: Journal) -> Spec:
    """The method, the layer where it asks for one, and the head that suits it; what the user named stays."""
    return _name_head(_name_method(spec, data, body, machine, journal), data, journal)


def _name_method(spec: Spec, data: Data, body: Backbone, machine: Machine, journal: Journal) -> Spec:
    """The method, and where the rule asks for an earlier layer the layer too, by the table of data size and similarity to the source
    (graft.advisor.rules); what the user named stays."""
    if data.schema.target == "none":
        return name_unlabelled(spec, journal)
    if spec.method.name != "auto":
        return name_text_layer(spec, data, body, machine, journal)
    head = spec.task.values.get("head", "auto")
    if head in ("svm_rbf", "knn"):
        journal.decide("method", "extract", f"a head of kind {head} cannot learn by gradient descent", "--method")
        return name_text_layer(replace(spec, method=Part("extract", spec.method.values)), data, body, machine, journal)
    if spec.teacher is not None:
        journal.decide("method", "distill", "a teacher was named", "--method")
        return replace(spec, method=Part("distill", spec.method.values))
    if spec.target is not None:
        return name_bridge(spec, data, journal)
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    if data.schema.modality == "text":
        return name_text_method(spec, data, body, machine, journal)
    near = measuring.resemblance(body, data, task, machine, spec.seed)
    rule = rules.cell(list(measuring.class_counts(data).values()), near["level"])
    unfit = sorted(set(spec.method.values) - set(catalog.options("method", rule.method).__dataclass_fields__))
    method = "lp_ft" if unfit else rule.method
    why = f"{rule.cell} data: {rule.why} ({near['words'].rstrip('.')}); graft advise measures more"
    journal.decide("method", method, why, "--method")
    spec = replace(spec, method=Part(method, spec.method.values))
    if method != "extract" or rule.layers == "last" or spec.task.values.get("layers") or len(body.names) < 2:
        return spec
    return name_layer(spec, data, body, task, machine, journal)


def name_layer(spec: Spec, data: Data, body: Backbone, task: Task, machine: Machine, journal: Journal) -> Spec:
    """The layer whose frozen features a linear head does best on: the last, unless an earlier one is clearly better, and where folds
    are scored, for then the rows that would choose are those that are scored."""
    if data.plan.folds:
        why = "every row is scored in its fold, so none is free to measure layers on"
        journal.decide("layer", body.names[-1], why, "--layers, --folds 0")
        return spec
    layers = measuring.probes(body, data, task, machine, journal, spec.seed)
    best = rank.best_layer(layers)
    scores = {one["name"]: one["probe"] for one in layers}
    if best in (None, body.names[-1]):
        journal.decide("layer", body.names[-1], "measured on the learning rows, no earlier one is clearly better", "--layers")
        return spec
    words = f"a linear head has {scores[best]:.3f} on it and {scores[body.names[-1]]:.3f} on the last, in cross-validation on learning rows"
    journal.decide("layer", best, words, "--layers")
    return replace(spec, task=Part(spec.task.name, {**spec.task.values, "layers": (best,)}))


def _name_head(spec: Spec, data: Data, journal: Journal) -> Spec:
    """Where pairs teach the body cosines, the head reads directions too; what the user asked of the head stays."""
    asked = {"head", "hidden", "mix"} & set(spec.task.values) or spec.task.values.get("pool") == "attention"
    if spec.method.name != "few_shot" or data.schema.target != "class" or asked:
        return spec
    journal.decide("head", "logistic_unit", "pairs teach the body the cosines of its features, so directions alone count", "--head")
    return replace(spec, task=Part(spec.task.name, {**spec.task.values, "head": "logistic_unit"}))


def name_text_layer(spec: Spec, data: Data, body: Backbone, machine: Machine, journal: Journal) -> Spec:
    """Of frozen texts the measured layer, for the last ones have turned to what the body was trained for; what the user named stays."""
    asked = spec.task.values.get("layers") or spec.task.values.get("pool") == "attention"
    if data.schema.modality != "text" or spec.method.name != "extract" or asked or len(body.names) < 2:
        return spec
    if data.schema.target not in ("class", "labels", "number"):
        return spec
    task = catalog.resolve("task", spec.task.name)(data.schema, options("task", spec.task))
    return name_layer(spec, data, body, task, machine, journal)


def name_bridge(spec: Spec, data: Data, journal: Journal) -> Spec:
    """With a target domain: several adaptations, of which one is chosen without labels."""
    if data.schema.target != "class":
        raise OptionError("Only classes are adapted to a target without being told how; name a method that suits with --method.")
    journal.decide("method", "uda", "a target without labels is given: adaptations are tried, and label-free scores choose", "--method")
    return replace(spec, method=Part("uda", spec.method.values))


def name_unlabelled(spec: Spec, journal: Journal) -> Spec:
    """Without labels: a method whose objective needs none; a plug-in's is believed. Raises OptionError for one that learns labels."""
    name, fit = spec.method.name, representation.SELF_SUPERVISED
    if spec.target is not None:
        raise OptionError("Without labels there is no task to adapt to a target; leave --target out, or give its samples as the data.")
    if name == "auto":
        why = "there are no labels: two views of a sample are drawn together, and those of others apart"
        journal.decide("method", "simclr", why, "--method")
        return replace(spec, method=Part("simclr", spec.method.values))
    if name not in fit and catalog.find("method", name).target.startswith("graft.methods."):
        raise OptionError(f"Method '{name}' learns from labels, and these data have none; use --method {', '.join(fit[:-1])} or {fit[-1]}.")
    return spec


def name_text_method(spec: Spec, data: Data, body: Backbone, machine: Machine, journal: Journal) -> Spec:
    """Of texts, frozen features say what a text is about and little of its tone, so the body learns too, however few they are; of two texts
    that are compared, what the body was trained to compare is there already."""
    target = data.schema.target
    counts = list(measuring.class_counts(data).values()) if target == "class" else []
    if body.prepare.apart:
        name, why = "extract", "a head on both texts' vectors and how they differ"
        why += ", which the body was trained to compare" if body.compares else ", for few_shot would draw their contents together"
    elif target == "class" and (np.median(counts) <= FEW_TEXTS or (np.median(counts) <= MORE_TEXTS and sum(counts) <= MORE_ROWS)):
        few = f"few texts (at most {FEW_TEXTS} in the median class, or {MORE_TEXTS} and {MORE_ROWS} in all)"
        name, why = "few_shot", f"{few}: pairs of them teach the body, then a linear head is solved"
    elif target in ("class", "labels", "number"):
        name, why = "finetune", "enough texts for all layers to learn with the head"
    else:
        name, why = "finetune", f"the labels are {LABELS[target]}: all layers learn with the head"
    if set(spec.method.values) - set(catalog.options("method", name).__dataclass_fields__):
        name = "lp_ft" if body.prepare.apart else "finetune"
    journal.decide("method", name, why, "--method")
    return name_text_layer(replace(spec, method=Part(name, spec.method.values)), data, body, machine, journal)


def share_budget(spec: Spec, data: Data, journal: Journal) -> Spec:
    """--budget as a time limit for each phase that learns by gradient descent; a limit the user gave stays."""
    if spec.budget is None or "seconds" in spec.method.values:
        return spec
    fits, phases = data.plan.folds + 1, options("method", spec.method).limited_phases
    alone = spec.evidence == "off" or data.schema.target == "none"  # without labels no alternatives run beside
    fixed, share = min(FIXED_SECONDS, 0.4 * spec.budget), 1.0 if alone else LEARNING_SHARE
    seconds = round(share * (spec.budget - fixed) / fits / phases, 2)
    why = f"of the budget, {fixed:.0f} s to read, score and report"
    why += "" if alone else f", and {1 - share:.0%} of the rest to the alternatives (--evidence off gives it all)"
    why += f"; shared by {fits} fit{'s' if fits > 1 else ''} of {phases} phase{'s' if phases > 1 else ''}"
    journal.decide("time limit of a phase", f"{seconds:g} s", why, "--set method.seconds")
    return replace(spec, method=Part(spec.method.name, {**spec.method.values, "seconds": seconds}))


def name_backbone(spec: Spec, data: Data, journal: Journal, measure: bool = False) -> Spec:
    """The embedded body where none is named or, where it may be measured, the best of those that are kept here (graft.assembly.nominating);
    random weights for the control."""
    backbone = spec.backbone
    if backbone.name == "auto":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Weights were given but no body to load them into; name it, for example --backbone mobilenetv2_100.")
        name = modality.EMBEDDED[data.schema.modality]
        why = "no body was named; this one ships with graft and needs no download (a larger one is usually better)"
        labelled = data.schema.target in ("class", "labels", "number")
        if measure and labelled and not backbone.values.get("weights") and spec.method.name != "scratch" and spec.teacher is None:
            name, why = nominating.best(spec, data, journal)
        journal.decide("backbone", name, why, "--backbone")
        backbone = Part(name, backbone.values)
    if spec.method.name == "scratch":
        if backbone.values.get("weights") not in (None, "none"):
            raise OptionError("Method 'scratch' starts from random weights; leave out --weights, or use --method finetune.")
        if backbone.name.startswith("run:") or backbone.name == "gabor":
            raise OptionError(f"Method 'scratch' cannot start '{backbone.name}' from random weights; name a network or an embedded body.")
        backbone = Part(backbone.name, {**backbone.values, "weights": "none"})
    elif "fetch" in options("backbone", backbone).__dataclass_fields__ and "fetch" not in backbone.values:
        backbone = Part(backbone.name, {**backbone.values, "fetch": spec.fetch})
    return replace(spec, backbone=backbone)


def name_augment(spec: Spec, data: Data, journal: Journal) -> Spec:
    """What training images go through; --views asks for augmentation where the method has none of its own."""
    views = spec.augment.values.get("views", 0)
    if data.schema.modality == "text":
        if views or spec.augment.name not in ("auto", "none"):
            raise OptionError("Texts are not augmented; leave out --augment and --views.")
        return replace(spec, augment=Part("none", spec.augment.values))
    if spec.method.name in representation.SELF_SUPERVISED:
        return name_views(spec, journal)
    fixed = spec.method.name == "extract"
    if fixed and views and "augment" not in spec.method.values:
        spec = replace(spec, method=Part(spec.method.name, {**spec.method.values, "augment": True}))
    if spec.augment.name != "auto":
        return spec
    if fixed and not views:
        name, why = "none", "frozen features are computed once (--views 4 adds those of augmented images)"
    else:
        name, why = "light", "crops and mirror images seldom harm; check that a mirror image keeps its label"
    journal.decide("augment", name, why, "--augment")
    return replace(spec, augment=Part(name, spec.augment.values))


def name_views(spec: Spec, journal: Journal) -> Spec:
    """Of a method that learns without labels: strong where views of an image are compared; an image is never mixed with another."""
    part = spec.augment
    if part.name == "auto":
        name, why = "light", "crops and mirror images seldom harm"
        if spec.method.name in ("simclr", "byol"):
            name, why = "strong", "what the views of an image have in common is what is learnt, so they have to differ much"
        journal.decide("augment", name, why, "--augment")
        part = Part(name, part.values)
    if part.name == "none" and spec.method.name in ("simclr", "byol"):
        raise OptionError(
            f"Method '{spec.method.name}' compares two views of an image, which --augment none makes alike; leave it out, or use strong."
        )
    mixing = {knob: 0.0 for knob in ("mixup", "cutmix") if part.name == "strong" and knob not in part.values}
    return replace(spec, augment=Part(part.name, {**part.values, **mixing}))


def check_evidence(spec: Spec, data: Data) -> None:
    """Raises OptionError where alternatives were asked for that nothing could tell apart."""
    if spec.evidence == "full" and (data.target is not None or data.schema.target == "none"):
        why = "with --target the report compares with source-only instead" if data.target is not None else "these data have no labels"
        raise OptionError(f"--evidence full runs alternatives on labelled rows, and {why}; leave it out.")


def check_views(spec: Spec) -> None:
    """Raises OptionError where nothing is frozen whose output could be kept."""
    views, method = spec.augment.values.get("views", 0), options("method", spec.method)
    if views and spec.method.name != "extract" and str(getattr(method, "freeze", None) or "none") in ("none", "0"):
        repair = "add --freeze STAGE" if hasattr(method, "freeze") else "use --method extract, or finetune with --freeze STAGE"
        raise OptionError(f"--views keeps what frozen stages make of augmented images, but nothing stays frozen here; {repair}.")
    if views and spec.augment.name == "none":
        raise OptionError("--views are augmented images, but --augment none was given; leave one of them out.")
