"""The task vectors of a suite's tasks, one parameter at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ..models import layer_kinds
from ..models.opening import open_model
from ..suites.suite import Suite


class TaskVectors:
    """The task vectors of several tasks of a suite; tensors are read when they are asked for.

    Attributes:
        tasks: their names.
        shapes: parameter → its shape.
        linear: the weights of linear layers.
        file_sizes: task → bytes of its model's files.
    """

    def __init__(self, suite: Suite, backbone: str, tasks: Sequence[str]) -> None:
        self._base = open_model(suite.base(backbone))
        self._models = {task: open_model(suite.checkpoint(backbone, task)) for task in tasks}
        self.tasks = list(tasks)
        self.shapes = self._base.shapes
        self.linear = [key for key, kind in layer_kinds(self._base).items() if kind == "linear"]
        self.file_sizes = {task: sum(f.stat().st_size for f in m.files) for task, m in self._models.items()}

    def of(self, key: str) -> dict[str, Tensor]:
        """Task → task vector of one parameter, in float32."""
        base = self._base.read(key).float()
        return {task: model.read(key).float() - base for task, model in self._models.items()}

    def linear_weights(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Every weight of a linear layer: its name, and task → task vector (outputs, inputs)."""
        return ((key, self.of(key)) for key in self.linear)
