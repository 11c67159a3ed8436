"""The three steps of ULMFiT: a language model, adapted to the target's texts, then a classifier from the top down."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import adapt_language, gradual, recipe


@dataclass(frozen=True, kw_only=True)
class Options(adapt_language.Adaptation):
    """schedule: "linear" with warmup 0.1 is the paper's slanted triangle (cut_frac 0.1), which ends at 1 / 32 of the peak where this one
        ends at zero. decay: 1 / 2.6 a stage, the paper's discriminative rates, in both parts.
    lr: peak rate of the last stage in the classifier's part; 3e-4, because the rates below it fall so fast.
    steps_down: 4, the groups of layers of the paper's network.
    """

    schedule: str = "linear"
    warmup: float = 0.1
    decay: float = 0.38
    lr: float = 3e-4
    steps_down: int = 4


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Target language-model fine-tuning, then gradual unfreezing with discriminative rates (Howard & Ruder, 2018, sections 3.2, 3.3).

    The first of the paper's three steps, pre-training on general text, is what the body's weights have behind them. For texts
    alone; best where there are many more texts of the target's kind than labels. `adapt` does the same with today's rates.
    """
    recipe.check_trainable(task, "ulmfit")
    yield adapt_language.adaptation(net, task, data, opts, "ulmfit")
    yield from gradual.phases(net, task, data, opts)
