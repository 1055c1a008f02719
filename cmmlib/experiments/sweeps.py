"""Sweeps: one hyper-parameter of a method takes several values while the others stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..methods import get_method
from .rows import Rows
from .runs import Run, plan


@dataclass(frozen=True)
class Sweep:
    """One hyper-parameter, its values, and the orders under which each is tried.

    Attributes:
        method, fixed: of the registry; ``fixed`` are hyper-parameters that stay, and may leave out defaults.
        parameter, values: what is swept.
        seeds: of the orders.
    """

    method: str
    parameter: str
    values: Sequence[Any]
    seeds: Sequence[int]
    fixed: dict[str, Any] = field(default_factory=dict, hash=False)

    def rows(self, name: str) -> dict[Any, Rows]:
        """Value → its row, whose label starts with the sweep's name."""
        params = {value: self.fixed | {self.parameter: value} for value in self.values}
        return {value: {f"{name}, {self.parameter}={value}": (self.method, params[value])} for value in self.values}


def plan_sweeps(sweeps: Mapping[str, Sweep], num_tasks: int) -> list[Run]:
    """The runs of all sweeps: for each value all of its orders.

    Raises:
        ValueError: an unknown method or parameter.
    """
    rows = [(row, sweep.seeds) for name, sweep in sweeps.items() for row in sweep.rows(name).values()]
    return [run for row, seeds in rows for run in plan(row, num_tasks, seeds)]


def swept(frame: pd.DataFrame, *sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """A frame of planned runs with ``sweep`` (its name) and ``value`` in place of ``label``.

    Args:
        frame: one or more rows per run of `plan_sweeps`, with a column ``label``.
        sweeps: what was planned.  Values may be numbers and names; they stay as they are.

    Raises:
        KeyError: a label of none of the sweeps.
    """
    found = {
        label: (name, value)
        for part in sweeps
        for name, sweep in part.items()
        for value, row in sweep.rows(name).items()
        for label in row
    }
    names, values = ([found[label][place] for label in frame["label"]] for place in (0, 1))
    value = pd.Series(values, index=frame.index, dtype=object).infer_objects()
    return frame.drop(columns="label").assign(sweep=names, value=value)


def with_parameter(frame: pd.DataFrame, runs: Iterable[Run], parameter: str) -> pd.DataFrame:
    """A frame of runs with a column of that hyper-parameter, defaults included; None where a method has none.

    Args:
        frame: with columns ``label`` and ``num_tasks``, of ``runs``.
    """
    values = {(run.label, run.num_tasks): get_method(run.method).resolve(run.params).get(parameter) for run in runs}
    frame = frame.copy()
    frame[parameter] = [values[key] for key in zip(frame["label"], frame["num_tasks"], strict=True)]
    return frame
