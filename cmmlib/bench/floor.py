"""The floor: nothing but the factorisations and products without which a method cannot do, called directly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def floor_opcm(merged: Tensor, tau: Tensor) -> None:
    """A Gram matrix, its eigendecomposition and two products in float64, one in float32."""
    merged, tau = (t if t.shape[0] <= t.shape[1] else t.T for t in (merged, tau))
    wide = merged.double()
    _, u = torch.linalg.eigh(wide @ wide.T)
    wide.T @ u
    u.float() @ (u.T @ tau.double()).float()


def floor_dop_exact(old: Tensor, new: Tensor) -> None:
    """Per task vector a Gram matrix and an eigendecomposition; one per side of the equation; the products of the solve.

    The large side has the dimension min(n, 2m).
    """
    old, new = (t.double() if t.shape[0] <= t.shape[1] else t.T.double() for t in (old, new))
    m, n = old.shape
    grams = [t @ t.T for t in (old, new)]
    for g in grams:
        torch.linalg.eigh(g)
    _, left = torch.linalg.eigh(grams[0] + grams[1])
    if n >= 2 * m:
        old @ new.T  # all of the Gram matrix that the large side needs
        n = 2 * m
    old, new = old[:, :n], new[:, :n]
    right = torch.linalg.eigh(old.T @ old + new.T @ new)[1]
    pull = (grams[0] - grams[1]) @ old + old @ right
    left @ (left.T @ pull @ right) @ right.T


def floor_dop_step(old: Tensor, new: Tensor) -> Callable[[], None]:
    """The products of one of Adam's steps: P_0 E, P_1 E, E Q_0, E Q_1; on the large side by thin factors."""
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
