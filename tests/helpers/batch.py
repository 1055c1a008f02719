"""The batch forms of methods that keep sums, written as in their papers: all task vectors of a linear weight at once."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

f64 = torch.float64


def spectral_norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)


def wudi(taus: list[Tensor], ridge: float, pull: str) -> Tensor:
    """The minimiser of WUDI's objective, with a ridge, as one least-squares problem."""
    columns = taus[0].shape[1]
    weights = [1 / tau.norm() for tau in taus]
    # ‖(M − τ) τᵀ‖² and the ridges, each as a block of columns of M · left = right
    left = [w * tau.T for w, tau in zip(weights, taus, strict=True)]
    right = [w * tau @ tau.T for w, tau in zip(weights, taus, strict=True)]
    eye = torch.eye(columns, dtype=f64)
    if pull == "models":
        left += [ridge**0.5 * w * spectral_norm(tau) * eye for w, tau in zip(weights, taus, strict=True)]
        right += [ridge**0.5 * w * spectral_norm(tau) * tau for w, tau in zip(weights, taus, strict=True)]
    else:
        left += [ridge**0.5 * spectral_norm(torch.cat(left, 1)) * eye]
        right += [torch.zeros_like(taus[0])]
    return torch.cat(right, 1) @ torch.linalg.pinv(torch.cat(left, 1), rtol=1e-8)


def wudi_published(taus: list[Tensor], num_steps: int = 300) -> Tensor:
    """The paper's objective by autograd and Adam, from the sum."""
    stack = torch.stack(taus)
    x = stack.sum(0).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=1e-5)
    for _ in range(num_steps):
        optimizer.zero_grad()
        (((x - stack) @ stack.mT) ** 2 / (stack**2).sum((1, 2), keepdim=True)).sum().backward()
        optimizer.step()
    return x.detach()


def actmat(taus: list[Tensor], share: float = 1.0) -> Tensor:
    """(Σ τ C) (Σ C)⁺, with C of the largest entries."""
    grams = []
    for tau in taus:
        order = tau.abs().flatten().argsort(descending=True)
        kept = torch.zeros(tau.numel(), dtype=f64).index_fill(0, order[: round(share * tau.numel())], 1).view_as(tau)
        grams.append((kept * tau).T @ (kept * tau))
    return sum(tau @ c for tau, c in zip(taus, grams, strict=True)) @ torch.linalg.pinv(sum(grams), rtol=1e-12)


def iso_c(taus: list[Tensor], scaling_factor: float = 1.0) -> Tensor:
    """The sum with all its singular values replaced by their mean."""
    u, s, vt = torch.linalg.svd(sum(taus), full_matrices=False)
    return scaling_factor * s.mean() * u @ vt


def polar(matrix: Tensor) -> Tensor:
    """The partial isometry of the polar decomposition."""
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    kept = s > 1e-6 * s[0]
    return u[:, kept] @ vt[kept]


def tsv_m(taus: list[Tensor], rank: int) -> Tensor:
    """Truncated singular vectors side by side, made orthogonal."""
    parts = [torch.linalg.svd(tau, full_matrices=False) for tau in taus]
    u = torch.cat([u[:, :rank] for u, _, _ in parts], 1)
    s = torch.cat([s[:rank] for _, s, _ in parts])
    v = torch.cat([vt[:rank] for _, _, vt in parts]).T
    return polar(u) * s @ polar(v).T


def kronecker_precisions(tau: Tensor, input_power: float, output_power: float, ridge: float) -> tuple[Tensor, Tensor]:
    """(G, A) of one model, from the powers of full matrices."""

    def factor(square: Tensor, power: float) -> Tensor:
        values, vectors = torch.linalg.eigh(square)
        values = torch.where(values > 1e-13 * values[-1], values, 0)
        powered = (vectors * values**power) @ vectors.T  # in torch, as here, 0 to the power of 0 is 1
        powered /= powered.trace()
        return powered + ridge * spectral_norm(powered) * torch.eye(len(square), dtype=f64)

    return factor(tau @ tau.T, output_power), factor(tau.T @ tau, input_power)


def kronecker_at_once(taus: list[Tensor], input_power: float, output_power: float, ridge: float) -> Tensor:
    """The minimiser of Σ tr(G (X − τ) A (X − τ)ᵀ), by one dense linear system."""
    pairs = [kronecker_precisions(tau, input_power, output_power, ridge) for tau in taus]
    system = sum(torch.kron(g, a) for g, a in pairs)
    right = sum(g @ tau @ a for tau, (g, a) in zip(taus, pairs, strict=True))
    return torch.linalg.solve(system, right.flatten()).view_as(taus[0])


def falls(values: list[float]) -> bool:
    return all(later < earlier for earlier, later in pairwise(values))
