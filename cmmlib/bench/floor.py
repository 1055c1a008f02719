"""The floor: only the factorisations and products that a method needs, called directly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..methods.spectral import cross_gram, gram, outer


def floor_opcm(merged: Tensor, tau: Tensor) -> None:
    """OPCM: a Gram matrix and its eigendecomposition in float64, and the products of the cheapest known route.

    For a wide weight (n ≥ 2m) the products are τ Aᵀ, two of m³ with U, and one with A in float32.  Otherwise they are Uᵀ A,
    Uᵀ τ, and one in float32.
    """
    a, tau = (t if t.shape[0] <= t.shape[1] else t.T for t in (merged, tau))
    _, u = torch.linalg.eigh(gram(a))
    if a.shape[1] >= 2 * a.shape[0]:
        cross_gram(tau, a) @ u
        (u @ u.T).float() @ a
    else:
        u.T @ tau.double()
        u.float() @ (u.T @ a.double()).float()


def floor_dop_exact(old: Tensor, new: Tensor) -> None:
    """DOP-exact: one eigendecomposition per side of the equation, its right-hand side, and the products of the solve.

    A weight that is not wide (n < 2m) needs one more eigendecomposition per task vector, since the rank cuts the smallest
    singular values.  A wide one is solved in the common span of dimension 2m, whose coordinates come from a Cholesky
    factorisation.  The reported losses are not included.
    """
    old, new = (t if t.shape[0] <= t.shape[1] else t.T for t in (old, new))
    m, n = old.shape
    grams = [gram(t) for t in (old, new)]
    if wide := n >= 2 * m:
        cross = cross_gram(new, old)
        lower = torch.linalg.cholesky(torch.cat([torch.cat([grams[0], cross.T], 1), torch.cat([cross, grams[1]], 1)]))
        q, half = outer(lower.T), lower[:m]
    else:
        for g in grams:
            torch.linalg.eigh(g)
        q, half = outer(old.T) + outer(new.T), (new - old).double()
    (_, left), (_, right) = torch.linalg.eigh(grams[0] + grams[1]), torch.linalg.eigh(q)
    pull = (grams[0] @ half).addmm_(half, q)
    x = left @ (left.T @ pull @ right) @ right.T
    if wide:
        mix = torch.linalg.solve_triangular(lower, x, upper=False, left=False).float()
        torch.addmm(mix[:, :m] @ old, mix[:, m:], new)


def floor_dop_step(old: Tensor, new: Tensor) -> Callable[[], None]:
    """The products of one step of Adam: P_0 E, P_1 E, E Q_0 and E Q_1, with thin factors on the large side."""
    m, n = sorted(old.shape)
    e, p, v = torch.randn(m, n), torch.randn(m, m), torch.randn(n, m)

    def step() -> None:
        for _ in range(2):
            p @ e
            if n < 2 * m:
                e @ (v if n == m else v @ v.T)
            else:
                (e @ v) @ v.T

    return step
