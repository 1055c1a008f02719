"""A run merges the tasks of one shuffled order; a plan has the runs of all rows under the same orders."""

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
        label: name of the row in tables and figures.
        method, params: name of a registered method and its hyper-parameters; defaults may be left out.
        num_tasks: how many of the suite's tasks, from the first on.
        seed: of the order.
        drawn: which tasks is random too: the first ``num_tasks`` of the order that the seed gives to all of the suite's.
        every_step: score all tasks after every step, for curves.  Otherwise each step scores only the task just merged,
            and the last step all tasks.
        final: score the last step alone, which is enough for ACC.
    """

    label: str
    method: str
    num_tasks: int
    seed: int
    params: dict[str, Any] = field(default_factory=dict, hash=False)
    every_step: bool = False
    drawn: bool = False
    final: bool = False

    def pool(self, suite: Suite) -> tuple[str, ...]:
        """The names of the tasks that the order is taken from."""
        return suite.task_names(None if self.drawn else self.num_tasks)

    def order(self, suite: Suite) -> list[str]:
        """The names of the tasks in the order in which they arrive."""
        return task_order(self.pool(suite), self.seed)[: self.num_tasks]

    def wanted(self, suite: Suite) -> list[list[str]]:
        """The names of the tasks to score after each step."""
        order = self.order(suite)
        before = [order if self.every_step else [] if self.final else [task] for task in order[:-1]]
        return [*before, order]


def plan(rows: Rows, num_tasks: int, seeds: Iterable[int], **options: bool) -> list[Run]:
    """The runs of all rows under the orders of ``seeds``.

    Args:
        num_tasks: see `Run`.
        options: ``every_step``, ``drawn`` and ``final``, as there.

    Raises:
        ValueError: a method or a parameter in ``rows`` is unknown.
    """
    named = []
    for label, (name, params) in rows.items():
        method = get_method(name)
        method.resolve(params)
        named.append((label, method.name, params))  # of a file the full path, which other processes find too
    return [Run(label, m, num_tasks, seed, params, **options) for seed in seeds for label, m, params in named]


def plan_table(rows: Rows, num_tasks: int, seeds: Iterable[int], adam_seeds: Iterable[int], **options: bool) -> list[Run]:
    """As `plan`, row by row, with orders of their own for the rows that Adam solves, which take many times as long.

    Args:
        adam_seeds: of the orders of rows whose hyper-parameter ``solver`` is "adam"; none, and they are left out.
    """
    seeds, adam_seeds = list(seeds), list(adam_seeds)
    runs = []
    for label, (method, params) in rows.items():
        adam = get_method(method).resolve(params).get("solver") == "adam"
        runs += plan({label: (method, params)}, num_tasks, adam_seeds if adam else seeds, **options)
    return runs
