"""Fine-tuning with a pull back to the pre-trained weights."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from ..losses.proximal import l2_distance
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """pull: strength alpha of the pull towards the start; 0.01 is the middle of the paper's range.

    smoothing (0), freeze and head_epochs as for lp_ft.
    weight_decay: 0 for the body, because the pull takes its place; head_decay: decay of the head, which has no start worth keeping.
    """

    pull: float = 0.01
    smoothing: float = 0.0
    weight_decay: float = 0.0
    head_decay: float = 0.02
    freeze: str | int | None = None
    head_epochs: int = 100


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """lp_ft whose second loss adds pull / 2 * |w - w0|^2 over the learning body (Li, Grandvalet & Davoine, 2018).

    Keeps what the body knew, so it suits data close to the source; not data far from it, which the pull holds back.
    """
    recipe.check_trainable(task, "l2_sp")
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    known = dict(net.named_parameters())
    start = {name: known[name].detach().clone() for group in who for name in group.parameters}
    who += groups.head(net, opts.head_lr or opts.lr, opts.head_decay)

    def pull(live: Net):
        return 0.5 * opts.pull * l2_distance(live, start)

    tuned = yield recipe.phase("l2_sp", task, data, opts, who, frozen=frozen, penalty=pull)
    yield from recipe.probe_again(tuned, net, task, data, opts)
