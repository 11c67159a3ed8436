"""The types through which everything flows. They import torch and pyarrow and nothing of ours."""

from .backbone import Backbone, Origin, Prepare, Stage, State
from .data import Data, Note, Plan, Schema, name_column
from .net import Net
from .phase import Batch, Group, Phase, Schedule, Solution, Stream, Trained
from .run import Run
from .task import Earlier, Task
from .text import TextPrepare

__all__ = [
    "Backbone", "Batch", "Data", "Earlier", "Group", "Net", "Note", "Origin", "Phase", "Plan", "Prepare", "Run", "Schedule",
    "Schema", "Solution", "Stage", "State", "Stream", "Task", "TextPrepare", "Trained", "name_column",
]  # fmt: skip
