"""Exact minimisers of DOP's objective a L_0 + (1 − a) L_1, by a Sylvester equation in float64, and the choice of a.

Notation as in `cmmlib.methods.losses`. Let y = X − (D_0 + D_1)/2 be the deviation from the average of both task vectors,
and H_i half the gradient of L_i at the average. The gradient of the objective vanishes where::

    A y + y B = −(a H_0 + (1 − a) H_1)    with A = a P_0 + (1 − a) P_1 and B = a Q_0 + (1 − a) Q_1

A and B are symmetric. In the basis of their eigenvectors, with eigenvalues λ_i of A and μ_j of B, solving means dividing
by λ_i + μ_j. Where that is zero the minimiser is not unique, and y = 0 gives the one nearest the average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .losses import Quadratic
from .spectral import cross_gram, outer

Weight = float | Literal["balanced", "mgda"]


class Front:
    """The Pareto front of one layer (m, n): the minimisers of a L_0 + (1 − a) L_1 for all 0 ≤ a ≤ 1.

    What does not depend on a is computed once. A point then costs one eigendecomposition per side and a few products.
    The front has coordinates of its own: tall layers are transposed, and those with n ≥ 2m are reduced.

    Args:
        old, new: L_0 and L_1, from `cmmlib.methods.losses.quadratic` with one and the same space.
    """

    def __init__(self, old: Quadratic, new: Quadratic):
        self.shape, self.dtype = old.center.shape, old.center.dtype
        self.tall = self.shape[0] > self.shape[1]
        if self.tall:
            old, new = old.transposed(), new.transposed()
        self.expand: Callable[[Tensor], Tensor] = lambda y: y
        reducible = old.gram is not None and new.gram is not None
        if reducible and 2 * old.center.shape[0] <= old.center.shape[1]:
            old, new, self.expand = _in_common_span(old, new)
        self.old, self.new = _as_matrices(old), _as_matrices(new)
        self.average = (self.old.center + self.new.center) / 2
        self.half = self.average - self.old.center  # (D_1 − D_0) / 2

    def at(self, a: float) -> Point:
        """The minimiser for the weight ``a`` of L_0, in [0, 1]."""
        return Point(self, a)

    def weight(self, y: Tensor) -> Tensor:
        """The task vector (m, n) that has coordinates ``y`` on this front, in the dtype of ``old.center``."""
        x = self.expand(y).to(self.dtype)
        return x.T if self.tall else x


class Point:
    """The minimiser for one a: ``x``, in the coordinates of its front, and ``l0`` and ``l1``, the losses there."""

    def __init__(self, front: Front, a: float):
        self.front, self.a = front, a
        old, new = front.old, front.new
        nothing = front.half.new_zeros(())
        self.left, lam = (None, nothing) if old.p is None else _eigh(old.p, new.p, a)
        self.right, mu = (None, nothing) if old.q is None else _eigh(old.q, new.q, a)
        scale = lam.unsqueeze(-1) + mu  # (m, n), or one column or row of it where one side is left out
        # where λ_i + μ_j is zero to rounding, the minimiser nearest the average does not deviate from it
        floor = max(scale.shape) * torch.finfo(scale.dtype).eps * scale.max()
        self.inverse = torch.where(scale > floor, 1 / scale, 0)
        # a H_0 + (1 − a) H_1; the average is D_0 + half and D_1 − half, hence the minus signs
        pull = torch.zeros_like(front.half)
        if old.p is not None:
            pull.addmm_(_mix(old.p, new.p, a, -1), front.half)
        if old.q is not None:
            pull.addmm_(front.half, _mix(old.q, new.q, a, -1))
        self.x = front.average - self.solve(pull)
        self.l0, self.l1 = old.loss(self.x), new.loss(self.x)

    def solve(self, r: Tensor) -> Tensor:
        """y with A y + y B = ``r``, zero in the directions where that is undetermined."""
        if self.left is not None:
            r = self.left.T @ r
        if self.right is not None:
            r = r @ self.right
        r = r * self.inverse
        if self.left is not None:
            r = self.left @ r
        return r if self.right is None else r @ self.right.T

    @property
    def log_ratio(self) -> float:
        """log(L_0 / L_1), which falls as a grows; infinite where a loss is zero."""
        if min(self.l0, self.l1) <= 0:
            return math.copysign(math.inf, self.l0 - self.l1)
        return math.log(self.l0 / self.l1)

    def tangent(self) -> tuple[Tensor, float]:
        """dx/da, and the derivative of `log_ratio` by a.

        dx/da solves the same equation with right-hand side −(∇L_0 − ∇L_1)/2. As a ∇L_0 + (1 − a) ∇L_1 = 0, one gradient
        gives the other. We compute that of the loss with the smaller weight.
        """
        a, b = self.a, 1 - self.a
        if a >= b:
            g1, _ = self.front.new.gradient(self.x)
            direction = self.solve(g1 / (2 * a))
            along = torch.sum(g1 * direction).item()
            return direction, -along * (b / (a * self.l0) + 1 / self.l1)
        g0, _ = self.front.old.gradient(self.x)
        direction = self.solve(g0 / (-2 * b))
        along = torch.sum(g0 * direction).item()
        return direction, along * (1 / self.l0 + a / (b * self.l1))


class Solution(NamedTuple):
    """A minimiser ``x`` (m, n), its weight ``a``, and the losses L_0 and L_1 there."""

    x: Tensor
    a: float
    l0: float
    l1: float


def minimise(front: Front, alpha: Weight, *, start: float = 0.8, beta: float = 0.999, steps: int = 200) -> Solution:
    """The minimiser of a L_0 + (1 − a) L_1, and the one nearest the average (D_0 + D_1)/2 where there are several.

    Args:
        alpha: a number, which is a, or a word. ``"balanced"`` is the a where L_0 = L_1: there loss-normalised MGDA with
            EMA would end if it ran for ever. ``"mgda"`` emulates where it ends after a number of steps (`follow_mgda`).
        start, beta, steps: for ``"mgda"``: the first a, β of the EMA, the number of steps. Published: the defaults.
    """
    if alpha == "balanced":
        x, a = balance(front)
        return Solution(front.weight(x), a, front.old.loss(x), front.new.loss(x))
    point = front.at(follow_mgda(front, start, beta, steps) if alpha == "mgda" else float(alpha))
    return Solution(front.weight(point.x), point.a, point.l0, point.l1)


def solve_exact(old: Quadratic, new: Quadratic, alpha: Weight) -> tuple[Tensor, float]:
    """x (m, n) and a of `minimise`; ``"mgda"`` with the published settings."""
    return minimise(Front(old, new), alpha)[:2]


def balance(front: Front, tolerance: float = 1e-9) -> tuple[Tensor, float]:
    """x, in the coordinates of the front, and a where L_0 = L_1: the root of φ(a) = log(L_0 / L_1) along the front.

    Newton's method, kept inside a bracket. If both losses had the same shape, φ would be linear in z = log(a / (1 − a)),
    with slope −2. So z is the variable. The root of that line, with the offset that L_0(D_1) and L_1(D_0) give it, is the
    first a. Factorisations are expensive, so each step uses the last two points. The cubic through both gives the next a,
    as z(φ), and in the end the result, as x(a). Its error is of fourth order in the distance.

    Args:
        tolerance: on φ, and on the relative error of the interpolated x.
    """
    far0, far1 = front.old.loss(front.new.center), front.new.loss(front.old.center)
    low, high, a = 0.0, 1.0, 0.5
    if far0 > 0 and far1 > 0:
        a = 1 / (1 + math.sqrt(far0 / far1))
    last: tuple | None = None
    for _ in range(60):
        point = front.at(a)
        if max(point.l0, point.l1) <= 1e-14 * max(far0, far1):  # both losses vanish here: nothing to balance
            break
        phi = point.log_ratio
        if abs(phi) <= tolerance or high - low <= 1e-15:
            break
        low, high = (a, high) if phi > 0 else (low, a)
        reached, a = a, math.nan
        if math.isfinite(phi):
            direction, slope = point.tangent()
            if slope < 0:
                here = phi, math.log(reached / (1 - reached)), 1 / (slope * reached * (1 - reached))
                z = here[1] - phi * here[2] if last is None else _cubic(0.0, last[0], here)
                a = 1 / (1 + math.exp(-max(min(z, 700.0), -700.0)))
                at = reached, point.x, direction
                if low < a < high and last is not None:
                    relative = (a - last[1][0]) * (a - reached) / min(a, 1 - a) ** 2
                    if relative**2 <= tolerance:
                        return _cubic(a, last[1], at), a
                last = here, at
        if not low < a < high:
            a, last = (low + high) / 2, None
    return point.x, point.a


def _cubic(t: float, one: tuple[float, Any, Any], other: tuple[float, Any, Any]) -> Any:
    """Cubic Hermite interpolation at ``t`` between two points (t_i, value, derivative); values are numbers or tensors."""
    (t0, y0, d0), (t1, y1, d1) = one, other
    h = t1 - t0
    s = (t - t0) / h
    return (1 + 2 * s) * (1 - s) ** 2 * y0 + s * (1 - s) ** 2 * h * d0 + s**2 * (3 - 2 * s) * y1 + s**2 * (s - 1) * h * d1


def follow_mgda(front: Front, start: float, beta: float, steps: int, nodes: int = 4) -> float:
    """The a where the published recursion a ← β a + (1 − β) c ends if every iterate is the exact minimiser for its a.

    At a minimiser a ∇L_0 = −(1 − a) ∇L_1. So the MGDA weight c of the gradients, each divided by its loss, is known:
    c = a L_0 / (a L_0 + (1 − a) L_1). In ``steps`` steps a cannot leave [β^steps start, 1 − β^steps (1 − start)].
    In this interval log(L_0 / L_1) is smooth, and is interpolated from exact minimisers.

    Args:
        start: the first a.
        beta: β.
        nodes: how many minimisers to interpolate from. Where a loss vanishes at one of them, a stays at ``start``.
    """
    reach = beta**steps
    low, high = reach * start, 1 - reach * (1 - start)
    at = [(low + high) / 2 + (high - low) / 2 * math.cos((2 * i + 1) * math.pi / (2 * nodes)) for i in range(nodes)]
    points = [front.at(a) for a in at]
    if any(not math.isfinite(point.log_ratio) for point in points):
        return start
    a = start
    for _ in range(steps):
        phi = sum(p.log_ratio * math.prod((a - q.a) / (p.a - q.a) for q in points if q is not p) for p in points)
        odds = a * math.exp(phi)
        a = beta * a + (1 - beta) * odds / (odds + 1 - a)
    return a


def _mix(one: Tensor, other: Tensor, a: float, sign: int) -> Tensor:
    """a · one ± (1 − a) · other."""
    return (a * one).add_(other, alpha=sign * (1 - a))


def _eigh(p0: Tensor, p1: Tensor, a: float) -> tuple[Tensor, Tensor]:
    """Eigenvectors, and eigenvalues without their negative rounding errors, of a p0 + (1 − a) p1.

    The vectors take the place of the matrix, which lies in memory column by column, as LAPACK wants it.
    """
    mixed = torch.mul(p0, a, out=p0.new_empty(p0.shape).T).add_(p1, alpha=1 - a)
    values, vectors = torch.linalg.eigh(mixed, out=(mixed.new_empty(len(mixed)), mixed))
    return vectors, values.clamp(min=0)


def _as_matrices(quadratic: Quadratic) -> Quadratic:
    """The same loss in float64, with ``p`` and ``q`` multiplied out."""
    center, u, v, p, q = (t if t is None else t.double() for t in quadratic[:5])
    p = outer(u) if p is None and u is not None else p
    q = outer(v) if q is None and v is not None else q
    return Quadratic(center, u, v, p, q)


def _in_common_span(old: Quadratic, new: Quadratic) -> tuple[Quadratic, Quadratic, Callable[[Tensor], Tensor]]:
    """Both losses of a wide layer (m, n), n ≥ 2m, in the 2m coordinates that matter, and the way back from them.

    The rows of D_0 and D_1 span at most 2m dimensions. The rows of D̂_i are combinations of those of D_i, so all that the
    losses depend on lies in this span. Let Z (n, 2m) be an orthonormal basis of it, and [D_0; D_1] = L Zᵀ. Then the rows
    of L are the coordinates of D_0 and D_1. L is the Cholesky factor of the Gram matrix of these rows, so Z is never
    formed: y Zᵀ = y L⁻¹ [D_0; D_1]. Where the rows are nearly dependent, Z is formed, by a QR decomposition.
    """
    d0, d1 = old.center, new.center  # what the way back keeps; all else of wide losses may go
    m, dtype = len(d0), d0.dtype
    cross = cross_gram(d1, d0)
    lower, failed = torch.linalg.cholesky_ex(torch.cat([torch.cat([old.gram, cross.T], 1), torch.cat([cross, new.gram], 1)]))
    pivots = lower.diagonal()
    if failed or pivots.min() < 1e-5 * pivots.max():
        rows = torch.cat([d0, d1]).double()  # (2m, n)
        basis, _ = torch.linalg.qr(rows.T)  # (n, 2m)
        lower = rows @ basis
        return _restrict(old, lower[:m]), _restrict(new, lower[m:]), lambda y: y @ basis.T

    def expand(y: Tensor) -> Tensor:
        mix = torch.linalg.solve_triangular(lower, y, upper=False, left=False).to(dtype)  # (m, 2m), entries of order one
        return torch.addmm(mix[:, :m] @ d0, mix[:, m:], d1)

    return _restrict(old, lower[:m]), _restrict(new, lower[m:]), expand


def _restrict(quadratic: Quadratic, center: Tensor) -> Quadratic:
    """The same loss in the coordinates in which D_i is ``center`` (m, 2m)."""
    kept = quadratic.project(center)
    u, v = (None if factor is None else kept for factor in (quadratic.u, quadratic.v))
    return Quadratic(center, u, v if v is None else v.T, quadratic.p)
