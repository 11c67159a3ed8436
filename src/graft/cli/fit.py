"""graft fit: from data to a tested model."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .answer import Answer, verb
from .progress import follow
from .summary import summary

Text = str | None


@verb
def fit(
    data: Annotated[Text, Argument(help="A folder or table of images or texts; CoNLL, SQuAD, .txt.", show_default=False)] = None,
    backbone: Annotated[Text, Option("--backbone", "-b", help="graft-mini, minilm, run:PATH, timm's names, text bodies' folders.")] = None,
    weights: Annotated[Text, Option(help="A file of weights (.safetensors, or .pth without pickled code).")] = None,
    method: Annotated[Text, Option("--method", "-m", help="How to transfer; graft list --kind method.")] = None,
    task: Annotated[Text, Option(help="What is learnt; graft list --kind task.")] = None,
    head: Annotated[Text, Option(help="The head; graft list --kind head.")] = None,
    epochs: Annotated[Text, Option(help="Epochs of training.")] = None,
    lr: Annotated[Text, Option(help="Learning rate.")] = None,
    image_size: Annotated[Text, Option(help="Pixels a side.")] = None,
    freeze: Annotated[Text, Option(help="Freeze up to this stage, a name or a number.")] = None,
    layers: Annotated[Text, Option(help="Stages whose features are used, by comma.")] = None,
    pool: Annotated[Text, Option(help="avg, max, cls, flatten; of texts also last, attention.")] = None,
    augment: Annotated[Text, Option(help="none, light, medium or strong.")] = None,
    views: Annotated[Text, Option(help="Augmented views of each image, drawn and computed once.")] = None,
    reader: Annotated[Text, Option(help="How the data are read; graft list --kind reader.")] = None,
    sets: Annotated[list[str] | None, Option("--set", metavar="section.key=value", help="Any option; repeatable.")] = None,
    spec: Annotated[Path | None, Option(help="A TOML file to start from, such as RUN/spec.toml.")] = None,
    advice: Annotated[Path | None, Option(help="The advice.toml that graft advise wrote; what you give yourself wins.")] = None,
    out: Annotated[Text, Option("--out", "-o", help="The run's folder; new or empty.")] = None,
    seed: Annotated[Text, Option(help="0 if not given.")] = None,
    select_on: Annotated[Text, Option(help="val: select and score on the same rows.")] = None,
    folds: Annotated[Text, Option(help="Cross-validate with this many folds; 0: one draw.")] = None,
    fetch: Annotated[Text, Option(help="May weights be downloaded: yes, no or fit-only.")] = None,
    target: Annotated[Text, Option(help="Unlabelled samples of the domain that counts; the model adapts to it.")] = None,
    target_labels: Annotated[Text, Option(help="Labels of the target, opened once, at the end.")] = None,
    unlabelled: Annotated[Text, Option(help="More samples of the same kind, without labels.")] = None,
    teacher: Annotated[Text, Option(help="A finished run to learn from: --method distill.")] = None,
    budget: Annotated[Text, Option(help="Time to spend: 90s, 5m, 1h30m.")] = None,
    evidence: Annotated[Text, Option(help="off, quick or full: what is run beside, to say whether transfer helped.")] = None,
    precision: Annotated[Text, Option(help="auto, exact or fast.")] = None,
    threads: Annotated[Text, Option(help="CPU threads.")] = None,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, Option("--json", help="Print the scores as JSON.")] = False,
) -> Answer:
    """Train and test a model on DATA. Leaves the model, its score and a report in a run folder."""
    asked = {name: value for name, value in locals().items() if name not in ("quiet", "json", "spec", "sets", "advice")}
    from .. import api
    from ..errors import OptionError
    from ..spec import Spec

    if spec and advice:
        raise OptionError("--spec and --advice are both specs to start from; give one of them.")
    base = Spec.load(spec or advice) if spec or advice else None
    if base and base.out and Path(base.out).resolve() == spec.resolve().parent:
        base = replace(base, out=None)  # the copy that a run kept: that folder is taken
    with follow(quiet) as progress:
        run = api.fit(Spec.make(**asked, sets=sets or (), base=base), on_event=progress)
    return Answer({**run.scores, "run": run.folder, "report": run.report}, summary(run.scores, run.folder))
