"""Merging all models at once, for context: what methods give that keep every task vector.

No continual methods. These are published batch methods, and the merge that `cmmlib.methods.kronecker` approximates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..methods.kronecker_algebra import precisions
from ..methods.registry import Context
from ..methods.tsv_m import merged_weight, truncated
from ..methods.wudi import solve_adam, wudi


def task_arithmetic_at_once(taus: Sequence[Tensor], scaling_factor: float) -> Tensor:
    """λ Σ τ_i, of task vectors of any shape (Ilharco et al., arXiv 2212.04089)."""
    return scaling_factor * torch.stack(list(taus)).sum(0)


def ties_at_once(task_vectors: Sequence[Mapping[str, Tensor]], share: float = 0.2) -> dict[str, Tensor]:
    """TIES-Merging (Yadav et al., arXiv 2306.01708) of all models: trim, elect signs, average the entries that agree.

    Args:
        task_vectors: of each model, by the names of parameters, which all models share.
        share: of the entries of each task vector, the largest over the whole model, that are kept.
    """

    def trimmed(tau: Tensor) -> Tensor:
        size = tau.abs()
        return tau.where(size >= size.kthvalue(len(tau) - int(share * len(tau))).values, 0)

    first = task_vectors[0]
    flat = [torch.cat([each[name].flatten() for name in first]) for each in task_vectors]
    taus = torch.stack([trimmed(tau) for tau in flat])  # [models, parameters]
    agrees = taus * taus.sum(0).sign() > 0
    merged = (taus * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    parts = merged.split([tensor.numel() for tensor in first.values()])
    return {name: part.view_as(tensor) for (name, tensor), part in zip(first.items(), parts, strict=True)}


def wudi_at_once(taus: Sequence[Tensor], num_steps: int = 300, lr: float = 1e-5) -> Tensor:
    """WUDI-Merging as published (arXiv 2503.08099), by Adam from the sum, of task vectors (m, n) of a linear weight."""
    sums: Tensor | dict[str, Tensor] = torch.zeros_like(taus[0])
    for t, tau in enumerate(taus, 1):
        sums = wudi(sums, tau, Context(t, kind="linear"), solver="adam")
    assert isinstance(sums, dict)
    return solve_adam(sums, num_steps=num_steps, lr=lr)


def tsv_m_at_once(taus: Sequence[Tensor]) -> Tensor:
    """TSV-Merge as published (arXiv 2412.00081), with k = ⌊min(m, n)/T⌋, of T task vectors (m, n) of a linear weight.

    Raises:
        ValueError: more models than singular values.
    """
    rank = min(taus[0].shape) // len(taus)
    if rank == 0:
        raise ValueError(f"{len(taus)} models leave none of the {min(taus[0].shape)} singular values to each")
    parts = [truncated(tau, rank) for tau in taus]
    return merged_weight({name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]})


def product_of_gaussians(
    taus: Sequence[Tensor],
    input_power: float = 0.75,
    output_power: float = 0.25,
    ridge: float = 1e-3,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 5000,
) -> Tensor:
    """The X (m, n) that minimises Σ tr(G_i (X − τ_i) A_i (X − τ_i)ᵀ), with the factors of `cmmlib.methods.kronecker`.

    By conjugate gradients on Σ G_i X A_i = Σ G_i τ_i A_i, from the mean, in float64.

    Args:
        taus: task vectors (m, n) of a linear weight, none of them zero.
        input_power, output_power, ridge: p, q and ρ.
        tolerance: of the residual, relative to the right-hand side.
        max_steps: after which it is an error.

    Raises:
        RuntimeError: no convergence.
    """
    wide = [tau.double() for tau in taus]
    factors = [precisions(tau, input_power, output_power, ridge) for tau in wide]

    def applied(xs: Sequence[Tensor]) -> Tensor:
        return torch.stack([g @ x @ a for x, (g, a) in zip(xs, factors, strict=True)]).sum(0)

    x = torch.stack(wide).mean(0)
    right = applied(wide)
    residual = right - applied([x] * len(wide))
    direction, square = residual, residual.square().sum()
    for _ in range(max_steps):
        if square.sqrt() <= tolerance * right.norm():
            return x.to(taus[0].dtype)
        image = applied([direction] * len(wide))
        step = square / (direction * image).sum()
        x, residual = x + step * direction, residual - step * image
        square, before = residual.square().sum(), square
        direction = residual + square / before * direction
    raise RuntimeError(f"conjugate gradients did not converge in {max_steps} steps; a larger ridge helps")
