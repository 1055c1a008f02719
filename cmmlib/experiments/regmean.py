"""RegMean with the true second moments of the layers' inputs: a reference for what data would give.

Jin et al., arXiv 2212.09849, equation 2, on task vectors: M = (Σ τ_i G_i)(Σ G_i)⁺ for every linear layer and convolution,
with G_i (n, n) the mean of x xᵀ over all inputs x of the layer.  They come from each task's own test images through its own
tower, so no method that may be compared sees as much.  The paper also shrinks G_i off the diagonal; here it is as it is.
All other parameters are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..evaluation.scorer import ZeroShotScorer
from ..methods.packed import pack
from ..methods.right_sums import solve_right


def second_moments(module: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """The mean of x xᵀ over all inputs x of every linear layer and convolution, in float64.

    Args:
        inputs: what the module takes, one batch.

    Returns:
        Name of the weight → (n, n).  For a convolution n counts the entries of a patch, as in its flattened weight.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        x = args[0]
        if isinstance(layer, nn.Conv2d):  # patches beside each other, as in the patch embedding of a vision transformer
            assert layer.stride == layer.kernel_size and not any(layer.padding)
            x = nn.functional.unfold(x, layer.kernel_size, stride=layer.kernel_size).mT
        x = x.reshape(-1, x.shape[-1]).double()
        found[f"{name}.weight"] = x.T @ x / len(x)

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    handles = [layer.register_forward_pre_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def regmean(taus: Sequence[Mapping[str, Tensor]], moments: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The merged task vector of every parameter.

    Args:
        taus: of each model, parameter → task vector.
        moments: of each model, weight → second moment of its inputs (n, n).
    """
    merged = {}
    for name in taus[0]:
        parts = [tau[name] for tau in taus]
        if name not in moments[0]:
            merged[name] = torch.stack(parts).mean(0)
            continue
        grams = torch.stack([of[name] for of in moments])  # [models, n, n]
        d = (torch.stack(parts).flatten(2).double() @ grams).sum(0)
        solved = solve_right({"s": pack(grams.sum(0)), "d": d.view_as(parts[0])})
        merged[name] = solved.to(parts[0].dtype)
    return merged


def tasks_moments(scorer: ZeroShotScorer, towers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """`second_moments` of every task: its own test inputs through its own encoder.

    Args:
        towers: task → parameters of the encoder, of a vision tower without ``vision_model.``.
    """
    encoder = scorer.encoder.fresh()
    found = {}
    for task, tower in towers.items():
        encoder.load_state_dict(dict(tower), strict=False)
        found[task] = second_moments(encoder, scorer.inputs(task)[:])
    return found
