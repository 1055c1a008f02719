"""The table of measurements, a line per method."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from .timing import Measured

Row = dict[str, Any]
"""``method``; measured numbers, named as in `COLUMNS`; and ``extrapolated``, the names of numbers that are extrapolated."""

COLUMNS = {
    "seconds": ".3g",
    "baseline_seconds": ".3g",
    "speedup": ".1f",
    "floor_seconds": ".3g",
    "over_floor": ".2f",
    "peak_mib": ".0f",
    "baseline_mib": ".0f",
    "error": ".1e",
    "baseline_error": ".1e",
    "trajectory": ".1e",
}


def row(method: str, ours: Measured, baseline: Measured | None = None, floor: Measured | None = None, **more: Any) -> Row:
    """A row of `table`, with the ratios to the published algorithm and to the floor if these were measured."""
    found: Row = {"method": method, "seconds": ours.seconds, "peak_mib": ours.mib}
    if baseline is not None:
        found |= {"baseline_seconds": baseline.seconds, "speedup": baseline.seconds / ours.seconds}
        found |= {"baseline_mib": baseline.mib}
    if floor is not None:
        found |= {"floor_seconds": floor.seconds, "over_floor": ours.seconds / floor.seconds}
    return found | more


def table(rows: list[Row]) -> str:
    """A text table with a line per method; a star marks extrapolated numbers."""

    def cell(row: Row, key: str, form: str) -> str:
        star = "*" if key in row.get("extrapolated", ()) else ""
        return f"{row[key]:{form}}{star}" if key in row else ""

    body = [[row["method"], *(cell(row, key, form) for key, form in COLUMNS.items())] for row in rows]
    return tabulate(body, ["method", *(key.replace("_", " ") for key in COLUMNS)], disable_numparse=True)
