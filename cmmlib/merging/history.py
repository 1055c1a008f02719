"""What is noted of every model that was merged, as numbers and as a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .parameter_step import Report
from .standing import Standing

if TYPE_CHECKING:
    import pandas as pd


def over_layers(reports: Sequence[Report]) -> dict[str, float]:
    """Mean, minimum and maximum over layers of each reported quantity, as ``<quantity>_mean`` and so on."""
    result: dict[str, float] = {}
    for quantity in dict.fromkeys(quantity for report in reports for quantity in report):
        values = [float(report[quantity]) for report in reports if quantity in report]
        mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
        result |= {f"{quantity}_mean": mean, f"{quantity}_min": min(values), f"{quantity}_max": max(values)}
    return result


def without_nan(row: dict[str, float]) -> dict[str, float | None]:
    """A row of the history as JSON takes it, which holds neither NaN nor infinity."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}


def history_frame(standing: Standing) -> pd.DataFrame:
    """One row per model, indexed by ``step`` from 1; see `cmmlib.ContinualMerger.history` for the columns."""
    import pandas as pd

    columns = ["name", "task_vector_norm", "merged_norm", "read_seconds", "merge_seconds", "left_out"]
    rows: list[dict[str, Any]] = [
        {**dict.fromkeys(columns), "name": model["name"], "left_out": model.get("left_out", 0), **model["history"]}
        for model in standing.models
    ]
    frame = pd.DataFrame(rows, columns=columns if not rows else None)
    return frame.set_axis(range(1, len(frame) + 1)).rename_axis("step")
