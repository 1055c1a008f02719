"""How one thread's time is spent, and the largest possible speed-up over the published algorithm."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from .floor import floor_dop_exact, floor_opcm
from .floor_of_sums import FLOORS as SUMS
from .operations import KINDS, profiled
from .random_towers import Towers
from .steps import first_merged
from .table import Row

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "OPCM": ("opcm", {}),
    "DOP (Adam)": ("dop", {"num_steps": 10}),
    "DOP-exact": ("dop", {"solver": "exact", "alpha": 0.8}),
    "DOP-balanced": ("dop", {"solver": "exact", "alpha": "balanced"}),
    "magmax": ("magmax", {}),
    "ties": ("ties", {}),
    **{method: (method, {}) for method in SUMS},
}
FLOORS = {"OPCM": floor_opcm, "DOP-exact": floor_dop_exact, **SUMS}


def profile(towers: Towers, rows: list[Row], threads: int) -> str:
    """A table of one thread's CPU seconds by kind of operation, their ratio to the floor's, and bounds on the speed-up.

    Args:
        rows: the measurements of the methods; the numbers are added to them.
        threads: number of threads that the bounds spread one thread's seconds over.
    """
    head = ["one thread", "CPU s", *KINDS, "over floor", "bound", "eigh's alone"]
    lines = [_line(towers, row, threads) for row in rows if row["method"] in SETTINGS]
    return tabulate(lines, head, disable_numparse=True)


def step_profile(towers: Towers, method: str, params: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of merging the second model, and of the merged weights for methods of sums, see `profiled`."""
    merger = first_merged(towers, method, **params)
    return profiled(lambda: merger.add(towers.second).merged() if method in SUMS else merger.add(towers.second))


def _line(towers: Towers, row: Row, threads: int) -> list[str]:
    method, params = SETTINGS[row["method"]]
    step_profile(towers.corners(), method, params)  # first-use imports are not the method's time
    spent = step_profile(towers, method, params)
    total = sum(spent.values())
    row["profile"] = spent
    if floor := FLOORS.get(row["method"]):
        pairs = towers.pairs()
        row["cpu_over_floor"] = total / sum(profiled(lambda: [floor(*pair) for pair in pairs]).values())
    bounds = []
    if "baseline_seconds" in row and row["method"] != "DOP (Adam)":  # it runs only 10 of 200 steps here
        for needed in (KINDS[:3], KINDS[:1]):
            bounds.append(row["baseline_seconds"] * threads / sum(spent[kind] for kind in needed))
    return [
        row["method"],
        f"{total:.2f}",
        *(f"{100 * spent[kind] / total:.0f} %" for kind in KINDS),
        f"{row['cpu_over_floor']:.2f}" if floor else "",
        *(f"{bound:.1f}" for bound in bounds),
    ]
