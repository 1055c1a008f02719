"""A run, which merges the tasks of one shuffled order, and the plan of many: rows under the same orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..methods import get_method
from ..suites.suite import Suite
from .orders import task_order
from .rows import Rows


@dataclass(frozen=True)
class Run:
    """One sequence: a method merges the tasks of one shuffled order.

    Attributes:
        label: the row's name in tables and figures.
        method, params: of the registry; ``params`` may leave out defaults.
        num_tasks: how many of the suite's tasks, from its first on.
        seed: of the order.
        every_step: score all tasks after every step (for curves), not only the task just merged and, at the end, all.
    """

    label: str
    method: str
    num_tasks: int
    seed: int
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    every_step: bool = False

    def order(self, suite: Suite) -> list[str]:
        """The names of the tasks as they arrive."""
        return task_order(suite.task_names(self.num_tasks), self.seed)

    def wanted(self, suite: Suite) -> list[list[str]]:
        """Per step the tasks to score; order [steps][tasks]."""
        order = self.order(suite)
        return [order if self.every_step or task == order[-1] else [task] for task in order]


def plan(rows: Rows, num_tasks: int, seeds: Iterable[int], *, every_step: bool = False) -> list[Run]:
    """All rows under the same orders.

    Raises:
        ValueError: an unknown method or parameter in ``rows``.
    """
    for method, params in rows.values():
        get_method(method).resolve(params)
    return [Run(label, m, num_tasks, seed, params, every_step) for seed in seeds for label, (m, params) in rows.items()]
