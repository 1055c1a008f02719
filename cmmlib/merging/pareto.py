"""The Pareto front of DOP's two losses, stability and plasticity, solved exactly."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from ..methods.exact import Front, Weight, minimise
from ..methods.losses import Space, quadratic
from ..models.architecture import architecture_of
from ..models.opening import open_model
from ..models.source import Model
from ..models.stored_layers import layers_of
from ..threads import side_by_side

Weights = dict[Weight, dict[str, Tensor]]


def pareto_front(
    base: Model,
    merged: Model,
    new: Model,
    alphas: Sequence[Weight],
    *,
    weights: bool = False,
    svd_epsilon: float = 0.99999,
    svd_proj_space: Space = "uv",
    linear: Sequence[str] | None = None,
) -> pd.DataFrame | tuple[pd.DataFrame, Weights]:
    """Both losses of DOP at the exact minimisers of a L_0 + (1 − a) L_1, per linear layer and weight a.

    Args:
        base, merged, new: the pretrained model, what has been merged so far, and the model that arrives; as
            `cmmlib.ContinualMerger` takes them.
        alphas: values of a between 0 (only the new model counts) and 1 (only the merged one), ``"balanced"``, ``"mgda"``.
        weights: return the models as well.
        svd_epsilon, svd_proj_space: as of method ``dop``.
        linear: as of `cmmlib.ContinualMerger`.

    Returns:
        A row per layer and alpha: ``layer``, ``alpha`` as asked for, ``a`` as used, ``loss_stability`` (L_0) and
        ``loss_plasticity`` (L_1); a model's losses are the sums over its layers.  A layer that one of the models did not
        change has no front: both losses vanish at the other's weight, and ``a`` is NaN.  With ``weights`` also the merged
        models: alpha → tensors under the base's own names; all other parameters are the mean of merged and new.

    Raises:
        ValueError: alphas that are none, models of another architecture, a 2-D tensor that may or may not be linear.
    """
    for alpha in alphas:
        if alpha not in ("balanced", "mgda") and not (isinstance(alpha, int | float) and 0 <= alpha <= 1):
            raise ValueError(f"alphas: expected numbers in [0, 1], 'balanced' or 'mgda', got {alpha!r}")
    sources = [open_model(model, role=role) for model, role in ((base, "base"), (merged, "merged"), (new, "new"))]
    for source in sources[1:]:
        if source.shapes != sources[0].shapes:
            raise ValueError(f"{source.label} and {sources[0].label} are not models of one architecture")
    layers = layers_of(sources[0], architecture_of(sources[0]), linear)
    if divided := next((name for name, layer in layers.items() if layer.kind == "linear" and layer.divided), None):
        raise ValueError(
            f"{sources[0].label}: {divided!r} holds several layers in one tensor, which has no front of its own"
        )

    def read(key: str) -> tuple[str, Tensor, Tensor, Tensor]:
        w0, old, new = (source.read(key).to(torch.promote_types(source.dtypes[key], torch.float32)) for source in sources)
        return key, w0, old - w0, new - w0

    def solve(layer: tuple[str, Tensor, Tensor, Tensor]) -> tuple[str, list[tuple[Tensor, float, float, float]]]:
        key, start, *taus = layer
        flip = layers[key].transposed
        if layers[key].kind != "linear":
            found = [(taus[0] + taus[1]) / 2] * len(alphas)
            return key, [(start + x, 0.0, 0.0, 0.0) for x in found]
        if not all(tau.any() for tau in taus):
            return key, [(start + taus[0] + taus[1], float("nan"), 0.0, 0.0)] * len(alphas)
        losses = [quadratic(tau.T if flip else tau, svd_proj_space, svd_epsilon, dtype=torch.float64) for tau in taus]
        front = Front(*losses)
        points = [minimise(front, alpha) for alpha in alphas]
        return key, [(start + (p.x.T if flip else p.x) if weights else start, p.a, p.l0, p.l1) for p in points]

    keys = [key for key, layer in layers.items() if weights or layer.kind == "linear"]
    rows: list[tuple] = []
    models: Weights = {alpha: {} for alpha in alphas}
    for key, points in side_by_side(solve, map(read, keys)):
        for alpha, (tensor, a, l0, l1) in zip(alphas, points, strict=True):
            if weights:
                models[alpha][sources[0].names[key]] = tensor.to(sources[0].dtypes[key])
            if layers[key].kind == "linear":
                rows.append((key, alpha, a, l0, l1))
    frame = pd.DataFrame(rows, columns=["layer", "alpha", "a", "loss_stability", "loss_plasticity"])
    return (frame, models) if weights else frame
