"""Judging methods on zoos that none of them was chosen on: random subsets of the tasks, and the published orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..analysis.judging import mean_unseen
from ..analysis.runs import RUN, per_run_metrics
from ..suites.suite import Suite
from .frames import accuracies, reference_accuracies
from .grid import run_grid
from .rows import Rows
from .runs import Run, plan
from .store import Results

Seeds = Mapping[int, Sequence[int]]
"""Number of tasks → seeds."""


@dataclass(frozen=True)
class Design:
    """Which tasks are merged, in which orders.

    Attributes:
        draws: of random subsets of all tasks, each in an order of its own, for ACC.  The pairs of a comparison are the
            draws, so intervals speak of other tasks too.
        orders: of the first tasks, as published.  Intervals speak of other orders of the same tasks.
        curves: of those orders whose every step is scored, for the accuracy on tasks not merged yet.
    """

    draws: Seeds = field(default_factory=lambda: {8: range(8), 14: range(8, 12)})
    orders: Seeds = field(default_factory=lambda: {8: range(40, 50), 14: range(40, 43), 20: range(40, 43)})
    curves: Seeds = field(default_factory=lambda: {8: range(40, 50)})

    def plans(self, rows: Rows) -> tuple[list[Run], list[Run]]:
        """The runs on random subsets, and those under the published orders.

        Raises:
            ValueError: an unknown method or parameter.
        """
        drawn = [run for number, seeds in self.draws.items() for run in plan(rows, number, seeds, drawn=True, final=True)]
        ordered = [
            run
            for number, seeds in self.orders.items()
            for seed in seeds
            for run in plan(rows, number, [seed], every_step=seed in self.curves.get(number, ()))
        ]
        return drawn, ordered


def judge(
    suite: Suite, backbone: str, rows: Rows, results: Results, design: Design | None = None, **how: Any
) -> pd.DataFrame:
    """Run what is missing of a design, and give the metrics of every run.

    Args:
        rows: label → (method, hyper-parameters).
        how: arguments of `cmmlib.experiments.run_grid`.

    Returns:
        `cmmlib.analysis.per_run_metrics` with ``unseen`` (`cmmlib.analysis.judging.mean_unseen`) and ``drawn``: whether
        the run is of a random subset.
    """
    parts = [part for part in (design or Design()).plans(rows) if part]
    runs = [run for part in parts for run in part]
    run_grid(suite, backbone, runs, results, **how)
    bounds = reference_accuracies(suite, backbone, max(len(run.pool(suite)) for run in runs), results)
    frames = [_metrics(accuracies(suite, backbone, part, results), bounds).assign(drawn=part[0].drawn) for part in parts]
    return pd.concat(frames, ignore_index=True)


def _metrics(scores: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    return per_run_metrics(scores, bounds).merge(mean_unseen(scores, bounds), on=RUN, how="left")
