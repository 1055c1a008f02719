"""Baselines whose hyper-parameter is chosen for the suite: the runs to choose by, and those to report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ..analysis.tuning import CHOSEN
from ..methods import get_method
from .rows import all_rows, named_rows
from .runs import Run, plan
from .sweeps import Sweep


def published_values(labels: Iterable[str], num_tasks: Iterable[int], parameter: str) -> dict[tuple[str, int], float]:
    """(label, number of tasks) → the hyper-parameter of that row of the main table.

    Raises:
        KeyError: there is no such row, or its method has no such hyper-parameter.
    """
    rows = {(label, number): all_rows(number)[label] for number in num_tasks for label in labels}
    return {key: get_method(method).resolve(params)[parameter] for key, (method, params) in rows.items()}


def tuning_sweeps(
    published: Mapping[tuple[str, int], float],
    parameter: str,
    values: Collection[float],
    seeds: Sequence[int],
    free: Collection[str] = (),
) -> dict[int, dict[str, Sweep]]:
    """The sweeps to choose by: number of tasks → label → sweep; the published value is always among the values.

    Args:
        published: `published_values`, of the baselines.
        seeds: of the orders to choose by.
        free: labels whose final model does not depend on the order: the first order stands for all.
    """
    sweeps: dict[int, dict[str, Sweep]] = {}
    for (label, number), known in published.items():
        method, params = all_rows(number)[label]
        orders = seeds[:1] if label in free else seeds
        sweep = Sweep(method, parameter, sorted({*values, known}), orders, fixed=params)
        sweeps.setdefault(number, {})[label] = sweep
    return sweeps


def plan_chosen(
    chosen: Mapping[tuple[str, int], float], parameter: str, seeds: Iterable[int], others: Iterable[str] = ()
) -> list[Run]:
    """The runs to report: each baseline as published and with the chosen value, and other rows of the main table.

    Args:
        chosen: (label, number of tasks) → value.
        seeds: of the orders that are reported.
        others: names of rows that stay as they are (`cmmlib.experiments.rows.named_rows`).
    """
    seeds, others, runs = list(seeds), list(others), []
    for number in dict.fromkeys(number for _, number in chosen):
        rows = all_rows(number)
        for label in (label for label, count in chosen if count == number):
            method, params = rows[label]
            tuned = params | {parameter: chosen[label, number]}
            runs += plan({label: (method, params), label + CHOSEN: (method, tuned)}, number, seeds)
        runs += plan(named_rows(others, number), number, seeds)
    return runs
