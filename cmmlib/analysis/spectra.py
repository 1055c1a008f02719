"""Norms, ranks and singular values of the task vectors of linear weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from ..methods.losses import rank_at
from ..methods.spectral import cumulative_share, thin_svd
from .geometry import effective_rank, layer_of

Weights = Iterable[tuple[str, Mapping[str, Tensor]]]
"""Linear weights, one at a time: name and task → task vector (m, n)."""


def layer_spectra(weights: Weights, alpha: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers of every task vector, and the mean fall of the singular values per kind of weights.

    Args:
        weights: the linear weights.
        alpha: OPCM's share of the sum of the singular values.

    Returns:
        One row per weight and task: ``layer``, ``depth``, ``kind``, ``task``, ``norm``, ``full_rank``,
        ``effective_rank``, ``opcm_rank`` (OPCM's r), ``rank_90`` and ``dop_rank`` (what keeps 90 % and 99.999 % of the
        sum of the singular values) and ``effective_share``, the effective rank over the full one.
        One row per kind and ``position`` i / full rank: ``relative``, s_i / s_1, and ``share``, the cumulative share of
        the sum; both are means over layers and tasks.
    """
    rows, curves = [], []
    for key, task_vectors in weights:
        depth, kind = layer_of(key)
        for task, tau in task_vectors.items():
            s = thin_svd(tau).s
            share, full = cumulative_share(s), min(tau.shape)
            ranks = int((share <= alpha).sum()), rank_at(s, 0.9), rank_at(s, 0.99999)
            rows.append((key, depth, kind, task, tau.norm().item(), full, effective_rank(s), *ranks))
            at = (np.arange(len(s)) + 1) / full
            curve = {"kind": kind, "position": at, "relative": (s / s[:1]).numpy(), "share": share.numpy()}
            curves.append(pd.DataFrame(curve))
    columns = ["layer", "depth", "kind", "task", "norm", "full_rank"]
    layers = pd.DataFrame(rows, columns=[*columns, "effective_rank", "opcm_rank", "rank_90", "dop_rank"])
    layers["effective_share"] = layers["effective_rank"] / layers["full_rank"]
    means = pd.concat(curves).groupby(["kind", "position"], sort=False)[["relative", "share"]].mean()
    return layers, means.reset_index()
