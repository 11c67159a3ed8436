"""What a saved model of texts says: from a text, words, or two texts to a prediction."""

from collections.abc import Sequence

import pyarrow as pa
import torch

from ..core import Data, Net, State, Task
from ..data.characters import split
from ..data.texts import Texts
from ..data.tokens import Tokenizer, collate
from ..engine import forward
from ..engine.device import Machine
from ..tasks.spans import answers

Passage = str | Sequence[str] | tuple[str, str]
"""A text; for "tags" also its words; for "spans" a question and its context; for pairs both texts."""


class Passages:
    """Reads texts for the net and puts its answers into words."""

    def __init__(self, net: Net, task: Task):
        self.net, self.task, self.tokenizer = net, task, Tokenizer(net.prepare)

    @property
    def _machine(self) -> Machine:
        return Machine(next(self.net.parameters()).device)

    def state(self, items: Sequence[Passage]) -> State:
        """The state at depth 0 of texts that `defect` finds nothing wrong with."""
        if self.task.schema.target == "tags":
            return collate(self.tokenizer.words([words(item) for item in items]), self.net.prepare.pad)
        if self.task.schema.pair:
            return collate(self.tokenizer.pairs(*map(list, zip(*items, strict=True))), self.net.prepare.pad)
        return collate(self.tokenizer.texts(list(items)), self.net.prepare.pad)

    def defect(self, item: object) -> str | None:
        """Why this cannot be read; None where it can."""
        target = self.task.schema.target
        if two(self.task):
            good = isinstance(item, tuple | list) and len(item) == 2 and all(isinstance(part, str) and part.strip() for part in item)
            what = "a question and the text that holds its answer, as a pair" if target == "spans" else "two texts, as a pair"
            return None if good else f"give {what}"
        if target == "tags" and not isinstance(item, str):
            good = isinstance(item, list | tuple) and len(item) and all(isinstance(word, str) for word in item)
            return None if good else "give a text, or a list of its words"
        if not isinstance(item, str):
            return f"it is a {type(item).__name__}, not a text"
        return None if item.strip() else "the text is empty"

    @torch.inference_mode()
    def tags(self, items: Sequence[Passage]) -> list[tuple[tuple[str, str], ...]]:
        """(word, tag) pairs of each text; words that the net does not see, because their text is longer than it reads, are "O"."""
        state, classes = self._machine.place(self.state(items)), self.task.schema.classes
        best = self.net(state).argmax(2).masked_fill(state["words"] < 0, classes.index("O")).tolist()
        return [tuple(zip(own, (classes[i] for i in row), strict=False)) for own, row in zip(map(words, items), best, strict=True)]

    @torch.inference_mode()
    def answers(self, items: Sequence[tuple[str, str]], batch: int) -> list[dict]:
        """The best answer to each question: see graft.tasks.spans.answers."""
        none = pa.array([[] for _ in items], pa.list_(pa.string()))
        asked = pa.table({
            "path": [str(i) for i in range(len(items))], "text": [question for question, _ in items],
            "context": [context for _, context in items], "label": none, "starts": none.cast(pa.list_(pa.int64())),
        })  # fmt: skip
        rows = self.task.expand(Data(asked.slice(0, 0), self.task.schema, "", "", test=asked), self.net.prepare).test
        with Texts(self.net.prepare, self.task.encode, 0) as texts:
            found = forward.outputs(self.net, texts.plain(rows, batch), self._machine, self.task.summarise)
        return answers(rows, found.numpy())

    def goes_on(self, text: str) -> str:
        """How the text goes on; see graft.tasks.generate.continue_text."""
        from ..tasks.generate import continue_text

        return continue_text(self.net, self.net.prepare, text)


def two(task: Task) -> bool:
    """Whether each item is a pair of texts."""
    return task.schema.target == "spans" or task.schema.pair


def words(item: Passage) -> list[str]:
    """The words of a text, or those that were given."""
    return [word for word, _, _ in split(item)] if isinstance(item, str) else list(item)
