"""OPCM's scale λ beside the formulas for it."""

from __future__ import annotations

import numpy as np
import pandas as pd


def scale_formulas(steps: pd.DataFrame) -> pd.DataFrame:
    """λ as the merger reports it, and what follows for it from the norms of the task vectors.

    A_t is the sum of what OPCM leaves of the task vectors τ_1 … τ_t, and n̄_t the mean of their norms: λ_t = ‖A_t‖ / n̄_t.
    In linear weights, what is left of τ_t is orthogonal to A_{t−1} (OPCM theorem 5.1).  There ‖A_t‖² is the sum of the
    squared norms of what was left.

    Args:
        steps: one row per merged model, with ``num_tasks``, ``seed``, ``step`` (1-based), ``lambda``, ``mean_norm``
            (n̄_t), ``sum_norm`` (‖τ_1 + … + τ_t‖), ``linear_norm`` (‖A_t‖ of the linear weights), and ``cleaned_linear``
            and ``cleaned_other``: the squared norm of what was left of τ_t, in linear weights and in all others.

    Returns:
        ``num_tasks``, ``seed``, ``step``, ``lambda``; ``general_term``: λ_t by theorem 5.1, as if it held for all
        parameters; ``sqrt_t``: λ_t if nothing is removed from orthogonal task vectors of one length; ``unprojected``:
        λ_t without projection; ``linear_norm``; ``linear_general_term``: the same norm by theorem 5.1.
    """
    by_run = steps.groupby(["num_tasks", "seed"], sort=False)
    linear, other = by_run["cleaned_linear"].cumsum(), by_run["cleaned_other"].cumsum()
    return steps[["num_tasks", "seed", "step", "lambda"]].assign(
        general_term=np.sqrt(linear + other) / steps["mean_norm"],
        sqrt_t=np.sqrt(steps["step"]),
        unprojected=steps["sum_norm"] / steps["mean_norm"],
        linear_norm=steps["linear_norm"],
        linear_general_term=np.sqrt(linear),
    )


def scale_errors(scales: pd.DataFrame) -> pd.DataFrame:
    """How far the formulas are from λ after the last model, in per cent of the formula; the mean over orders.

    Args:
        scales: `scale_formulas`.

    Returns:
        Indexed by ``num_tasks``: ``lambda``, ``unprojected``, and ``off_sqrt_t`` and ``off_general_term`` in per cent.
    """
    last = scales[scales["step"] == scales["num_tasks"]].groupby("num_tasks").mean()
    off = {f"off_{name}": 100 * (last["lambda"] / last[name] - 1) for name in ("sqrt_t", "general_term")}
    return last[["lambda", "unprojected"]].assign(**off)
