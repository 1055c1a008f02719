"""Right-side sums over the models: what WUDI and ACTMat keep and solve.

With τ_i (m, n) the task vectors of a linear weight, C_i = τ_iᵀ τ_i and weights w_i, the minimiser of
Σ w_i ‖(M − τ_i) τ_iᵀ‖² solves M S = D with two sums of constant size::

    S = Σ w_i C_i (n, n)        D = Σ w_i τ_i C_i (m, n)

S is kept packed and in float64, D in the dtype of the merge: with a ridge ρ the rounding of D grows by 1/ρ at most.

The weight of a convolution (out, in, k, k) counts as a matrix (out, in·k·k). All other parameters are averaged.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .packed import add_to_diagonal, pack, packed_gram, unpack
from .registry import Context, Value
from .spectral import gram, outer
from .weight_average import weight_average

Pull = Literal["zero", "models"]


def is_matrix(ctx: Context, convolution: bool) -> bool:
    """Whether a parameter is treated as a matrix: linear weights, and those of convolutions if ``convolution``."""
    return ctx.kind == "linear" or (convolution and ctx.kind == "convolution")


def averaged(merged: Value, task_vector: Tensor, ctx: Context) -> Tensor:
    """The mean of the task vectors so far: what becomes of all other parameters. Any shape."""
    assert isinstance(merged, Tensor)
    return weight_average(merged, task_vector, ctx)


def added(merged: Value, new: dict[str, Tensor], ctx: Context) -> dict[str, Tensor]:
    """The sums so far with those of one more model."""
    if ctx.t == 1:
        return new
    assert isinstance(merged, dict)
    return {name: merged[name] + part for name, part in new.items()}


def right_sums(tau: Tensor, weight: float, *, guide: Tensor | None = None, pull: float = 0.0) -> dict[str, Tensor]:
    """One model's share: ``s`` = w (C + p I), packed, in float64, and ``d`` = w τ (C + p I), in the shape and dtype of τ.

    Args:
        tau: τ, (m, n) or a convolution's (m, in, k, k).
        weight: w.
        guide: what C = gᵀ g is taken from (m, n). Default: τ.
        pull: p, the strength of a pull towards τ itself.
    """
    wide = tau.flatten(1).double()
    g = wide if guide is None else guide.double()
    if len(wide) < wide.shape[1]:  # the smaller of both products
        s = packed_gram(g)
        d = (outer(wide) if guide is None else wide @ g.T) @ g
    else:
        square = outer(g.T)
        s, d = pack(square), wide @ square
    if pull:
        d.add_(wide, alpha=pull)
        add_to_diagonal(s, pull)
    return {"s": s.mul_(weight), "d": d.mul_(weight).view(tau.shape).to(tau.dtype)}


def solve_right(parts: dict[str, Tensor], ridge: float = 0.0, *, definite: bool = False) -> Tensor:
    """M, in the shape of ``d``, with M (S + ρ λ I) = D; λ is the largest eigenvalue of S.

    Without a ridge the solution of least norm. Eigenvalues at or below n · ε · λ then count as zero, with ε of the dtype
    of the merge, as in ``torch.linalg.pinv`` in that dtype.

    Args:
        ridge: ρ.
        definite: S is known to be positive definite, so that a Cholesky factorisation will do without a ridge too.
    """
    s, d = unpack(parts["s"]), parts["d"].flatten(1).double()
    if not d.any():
        return torch.zeros_like(parts["d"])
    largest = 0.0 if definite else largest_eigenvalue(s)
    if ridge > 0:
        s.diagonal().add_(ridge * largest)
    if ridge > 0 or definite or _all_above(s, floor := len(s) * torch.finfo(parts["d"].dtype).eps * largest):
        x = torch.cholesky_solve(d.T, torch.linalg.cholesky(s)).T
    else:
        values, vectors = torch.linalg.eigh(s)  # ascending
        kept = vectors[:, values > floor]
        x = (d @ kept / values[-kept.shape[1] :]) @ kept.T
    return x.reshape(parts["d"].shape).to(parts["d"].dtype)


def _all_above(matrix: Tensor, floor: float) -> bool:
    """Whether all eigenvalues of a symmetric matrix are above ``floor``, so that none counts as zero."""
    shifted = matrix.clone()
    shifted.diagonal().sub_(floor)
    return not torch.linalg.cholesky_ex(shifted).info


def largest_eigenvalue(matrix: Tensor, steps: int = 60) -> float:
    """The largest eigenvalue of a positive semidefinite matrix (n, n) in float64, by Lanczos' method.

    With full reorthogonalisation, until five more steps change nothing. For n ≤ 256 by an eigendecomposition.
    """
    n = len(matrix)
    if n <= 256:
        return max(torch.linalg.eigvalsh(matrix)[-1].item(), 0.0)
    start = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=matrix.dtype)
    basis, images = matrix.new_zeros(steps, n), matrix.new_zeros(steps, n)
    q, largest = start.to(matrix.device), 0.0
    for i in range(steps):
        basis[i] = q / q.norm()
        q = images[i] = matrix @ basis[i]
        for _ in range(2):  # once leaves rounding that grows
            q = q - basis[: i + 1].T @ (basis[: i + 1] @ q)
        if i % 5 == 4:
            before, largest = largest, torch.linalg.eigvalsh(basis[: i + 1] @ images[: i + 1].T)[-1].item()
            if largest - before <= 1e-12 * largest:
                break
    return largest


def squared_norm(tau: Tensor) -> float:
    """‖τ‖², in float64."""
    return torch.linalg.vector_norm(tau, dtype=torch.float64).item() ** 2


def squared_spectral_norm(tau: Tensor) -> float:
    """The square of the largest singular value of τ (m, n), or of a convolution's weight as a matrix."""
    return largest_eigenvalue(gram(tau.flatten(1)))
