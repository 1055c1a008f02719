"""NUFILT, null-space filtering: arXiv 2509.21413.

For a linear weight, with M (m, n) the merged task vector, τ that of the model that arrives, V_p (n, a) the leading right
singular vectors of M, V_t (n, b) those of τ, and P = I − V_p V_pᵀ, the next merged task vector is::

    N = M + τ P + Δ        Δ minimises ‖(N − τ) V_t‖² + ‖(N − M) V_p‖²

The filter P keeps the new model out of the directions of the old ones, and the adapter Δ of low rank gives back what the
filter took from the new one. With R = τ V_t − (M + τ P) V_t the two terms are ‖R − Δ V_t‖² and ‖Δ V_p‖². As published, Δ
= B A is fitted by 50 steps of Adam. The closed form is ours::

    Δ = R (V_tᵀ P V_t + ε I)⁻¹ V_tᵀ P

It minimises ‖R − Δ V_t‖² + ε ‖Δ‖² subject to Δ V_p = 0, so N and M agree on V_p. As ε → 0, N and τ agree on V_t, if the
two spans share no direction.

The published code (github.com/zihuanqiu/NUFILT, 8421aab) differs from the paper, and is the ``variant="code"``: it merges
only the weights of attention and fc1, and leaves all else at the pretrained value; its adapter is on the input side, Δ = τ
B A (here with ``solver="adam"`` only; the closed form is that of the paper's Δ). It also takes I for the singular vectors
of M = 0, so the first model loses its first a input coordinates: ``filter_first=True``. Ranks are given for a width min(m,
n) of 768, that of ViT-B, and scaled with it: 128 directions of a layer that has no more would leave nothing to merge. The
published ranks do not scale.
"""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

import torch
from torch import Tensor

from .registry import Context, Interval, method
from .spectral import gram, spectrum
from .weight_average import weight_average

WIDTH = 768
"""The width for which ranks are given."""

Rank = Annotated[int, Interval(1)]


def scaled(rank: int, weight: Tensor) -> int:
    """The rank for a weight (m, n), at least 1."""
    return max(1, round(rank * min(weight.shape) / WIDTH))


def leading_right(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` leading right singular vectors (n, count) of a matrix (m, n), in float64; fewer of one of lower rank."""
    vectors = spectrum(gram(matrix))[1][:, :count]
    if matrix.shape[0] > matrix.shape[1]:
        return vectors
    v = matrix.T.double() @ vectors
    return v / torch.linalg.vector_norm(v, dim=0)


def closed_form(residual: Tensor, v_task: Tensor, v_past: Tensor, epsilon: float) -> Tensor:
    """Δ (m, n) = R (V_tᵀ P V_t + ε I)⁻¹ V_tᵀ P.

    Args:
        residual: R (m, b).
        v_task, v_past: V_t (n, b) and V_p (n, a).
        epsilon: ε.
    """
    filtered = v_task - v_past @ (v_past.T @ v_task)  # P V_t
    inner = v_task.T @ filtered
    inner.diagonal().add_(epsilon)
    return torch.linalg.solve(inner, residual, left=False) @ filtered.T


def fit_adapter(
    residual: Tensor, v_task: Tensor, v_past: Tensor, left: Tensor | None, *, rank: int, lr: float, num_steps: int, seed: int
) -> Tensor:
    """Δ (m, n) = L B A after Adam's steps on ‖R − Δ V_t‖² + ‖Δ V_p‖²: the published solver.

    A (rank, n) starts at random, with a standard deviation of 0.02, B at zero.

    Args:
        residual, v_task, v_past: as in `closed_form`.
        left: L: None for I, with B (m, rank); or τ (m, n), with B (n, rank).
        rank, lr, num_steps: of the adapter, and of Adam.
        seed: of A.
    """
    generator = torch.Generator().manual_seed(seed)
    n, like = len(v_task), residual
    a = 0.02 * torch.randn(rank, n, generator=generator, dtype=torch.float64).to(like)
    b = like.new_zeros(len(residual) if left is None else n, rank)
    both = torch.cat([v_task, v_past], 1)
    target = torch.cat([residual, like.new_zeros(len(residual), v_past.shape[1])], 1)
    optimizer = torch.optim.Adam([a, b], lr=lr)
    for _ in range(num_steps):
        side = b if left is None else left @ b
        seen = a @ both
        error = (side @ seen).sub_(target).mul_(2)
        a.grad = side.T @ error @ both.T
        gradient = error @ seen.T
        b.grad = gradient if left is None else left.T @ gradient
        optimizer.step()
    return (b if left is None else left @ b) @ a


@method(paper="https://arxiv.org/abs/2509.21413", layerwise=True, separable=True)
def nufilt(
    merged: Tensor,
    task_vector: Tensor,
    ctx: Context,
    *,
    variant: Literal["paper", "code"] = "paper",
    solver: Literal["closed", "adam"] = "closed",
    null_rank: Rank = 128,
    task_rank: Rank = 8,
    adapter_rank: Rank = 64,
    epsilon: Annotated[float, Interval(0, open=True)] = 1e-3,
    lr: Annotated[float, Interval(0, open=True)] = 1e-3,
    num_steps: Annotated[int, Interval(0)] = 50,
    filter_first: bool = False,
) -> Tensor:
    """M ← M + τ P + Δ for linear weights, the first model as it is; the mean for all other parameters.

    Args:
        variant: ``"paper"``, or ``"code"``: attention and fc1 only, all else stays pretrained, Adam's Δ on the input side.
        solver: of Δ: ``"closed"``, or ``"adam"``, as published.
        null_rank, task_rank: a and b, for a width of 768. Published: 128, 8.
        adapter_rank: the rank of Adam's Δ, for a width of 768. Published: 64. That of the closed form is at most b.
        epsilon: ε of the closed form; ours.
        lr, num_steps: of Adam. Published: 1e-3, 50.
        filter_first: filter the first model's first input coordinates, as the published code does.
    """
    code = variant == "code"
    if ctx.kind != "linear" or (code and not any(key in ctx.name for key in ("attn", "fc1"))):
        return torch.zeros_like(merged) if code else weight_average(merged, task_vector, ctx)
    past = scaled(null_rank, task_vector)
    if ctx.t == 1:
        return task_vector.index_fill(1, torch.arange(past, device=merged.device), 0) if filter_first else task_vector
    v_past, v_task = leading_right(merged, past), leading_right(task_vector, scaled(task_rank, task_vector))
    m, tau = merged.double(), task_vector.double()
    lost = tau @ v_past
    start = (m + tau).addmm_(lost, v_past.T, alpha=-1)  # M + τ P
    residual = lost @ (v_past.T @ v_task) - m @ v_task  # (τ − start) V_t
    if solver == "closed":
        delta = closed_form(residual, v_task, v_past, epsilon)
    else:
        rank, seed = scaled(adapter_rank, task_vector), zlib.crc32(f"{ctx.name} {ctx.t}".encode())
        residual, v_task, v_past = (x.to(merged.dtype) for x in (residual, v_task, v_past))
        left = task_vector if code else None
        delta = fit_adapter(residual, v_task, v_past, left, rank=rank, lr=lr, num_steps=num_steps, seed=seed).double()
    return start.add_(delta).to(merged.dtype)
