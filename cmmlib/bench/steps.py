"""One merge step of every method: ours, the published algorithm and the floor, timed in turn in one run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..merging.merger import ContinualMerger
from ..threads import side_by_side
from .errors import cleaning_errors, one_of_each_shape, stationarity
from .floor import floor_dop_exact, floor_dop_step, floor_opcm
from .floor_of_sums import FLOORS
from .published_algorithms import published_dop, published_opcm
from .random_towers import LINEAR, Towers, is_linear
from .table import Row, row
from .timing import Measured, Prepare, Work, measured

STEPS = 200  # of the published solver
ELEMENTWISE = ("weight_average", "task_arithmetic", "magmax", "ties")


def first_merged(towers: Towers, method: str, **params: Any) -> ContinualMerger:
    """A merger that has merged the first model."""
    return ContinualMerger(towers.base, method, linear=LINEAR, **params).add(towers.first)


def second_added(towers: Towers, method: str, **params: Any) -> Prepare:
    """Our measured work: merging the second model."""

    def prepare() -> Work:
        merger = first_merged(towers, method, **params)
        return lambda: merger.add(towers.second)

    return prepare


def bench_elementwise(towers: Towers, repeats: int) -> list[Row]:
    """Measure the methods that work elementwise."""
    found = measured({method: second_added(towers, method) for method in ELEMENTWISE}, repeats)
    return [row(method, found[method]) for method in ELEMENTWISE]


def bench_sums(towers: Towers, repeats: int, methods: Iterable[str] = tuple(FLOORS)) -> list[Row]:
    """Measure methods of `FLOORS`: merging the second model, and the merged weights of what is kept then."""
    pairs = towers.pairs()
    rows: list[Row] = []

    def step_and_solve(method: str) -> Prepare:
        def prepare() -> Work:
            merger = first_merged(towers, method)
            return lambda: merger.add(towers.second).merged()

        return prepare

    def floor_of(method: str) -> Prepare:
        return lambda: lambda: list(side_by_side(lambda pair: FLOORS[method](*pair), pairs))

    for method in methods:
        found = measured({"ours": step_and_solve(method), "floor": floor_of(method)}, repeats)
        rows.append(row(method, **found))
    return rows


def bench_opcm(towers: Towers, repeats: int) -> list[Row]:
    """Measure OPCM, and the largest error of a cleaned task vector over the shapes."""
    pairs = towers.pairs()
    merged, tau = towers.task_vectors()
    found = measured(
        {
            "ours": second_added(towers, "opcm"),
            "baseline": lambda: lambda: published_opcm(merged, tau),
            "floor": lambda: lambda: list(side_by_side(lambda pair: floor_opcm(*pair), pairs)),
        },
        repeats,
    )
    ours, baseline = zip(*(cleaning_errors(*pair) for pair in one_of_each_shape(pairs)), strict=True)
    return [row("OPCM", **found, error=max(ours), baseline_error=max(baseline))]


def bench_dop(towers: Towers, repeats: int, steps: int, baseline_steps: int) -> list[Row]:
    """Measure DOP, by Adam and exactly.

    Args:
        steps: how many of the `STEPS` of Adam our solver runs; its seconds are extrapolated linearly to all.
        baseline_steps: the same for the published algorithm.
    """
    pairs = towers.pairs()
    published: list[list[tuple[Tensor, float, float]]] = []  # [rounds][layers]

    def all_steps(step: Work) -> None:
        for _ in range(steps):
            step()

    def adam() -> Work:
        works = [floor_dop_step(*pair) for pair in pairs]
        return lambda: list(side_by_side(all_steps, works))

    found = measured(
        {
            "ours": second_added(towers, "dop", num_steps=steps),
            "setup": second_added(towers, "dop", num_steps=0),
            "floor": adam,
            "exact": second_added(towers, "dop", solver="exact", alpha=0.8),
            "balanced": second_added(towers, "dop", solver="exact", alpha="balanced"),
            "exact floor": lambda: lambda: list(side_by_side(lambda pair: floor_dop_exact(*pair), pairs)),
            "baseline": lambda: lambda: published.append([published_dop(*pair, baseline_steps) for pair in pairs]),
        },
        repeats,
    )
    # the first round only measures memory
    seconds_each = [sum(svd + STEPS * step for _, svd, step in layers) for layers in published[1:]]
    baseline = Measured(statistics.median(seconds_each), found["baseline"].mib)
    step = (found["ours"].seconds - found["setup"].seconds) / steps
    ours = Measured(found["setup"].seconds + STEPS * step, found["ours"].mib)
    floor = Measured(found["floor"].seconds * STEPS / steps)
    guessed = {"baseline_seconds"} if baseline_steps != STEPS else set()
    rows = [
        row(
            "DOP (Adam)",
            ours,
            baseline,
            floor,
            extrapolated=guessed | ({"seconds", "floor_seconds"} if steps != STEPS else set()),
            trajectory=trajectory_difference(towers, [x for x, _, _ in published[0]], baseline_steps),
        )
    ]
    for name in ("exact", "balanced"):
        rows.append(row(f"DOP-{name}", found[name], baseline, found["exact floor"], extrapolated=guessed))
    rows[1]["error"] = max(stationarity(*pair) for pair in one_of_each_shape(pairs))
    return rows


def trajectory_difference(towers: Towers, published: list[Tensor], steps: int) -> float:
    """The largest difference between our weights and the published algorithm's after ``steps`` steps of Adam."""
    merger = first_merged(towers, "dop", num_steps=steps, reference_compat=True)
    weights = merger.add(towers.second).merged()
    ends = zip(filter(is_linear, towers.base), published, strict=True)
    return max(float((weights[name] - towers.base[name] - x).abs().max()) for name, x in ends)
