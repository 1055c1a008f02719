"""Exact minimisers of DOP's objective a L_0 + (1 − a) L_1: a Sylvester equation in float64, and the choice of a.

The gradient vanishes where ``A y + y B = −(a H_0 + (1 − a) H_1)`` with A = a P_0 + (1 − a) P_1, B = a Q_0 + (1 − a) Q_1,
y = X − (D_0 + D_1)/2 and H_i half the gradient of L_i at that average: two symmetric eigendecompositions and a division
by λ_i + μ_j.  Solving for y makes the minimiser the one nearest the average where it is not unique.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .losses import Quadratic
from .spectral import gram

Weight = float | Literal["balanced", "mgda"]


class Front:
    """All minimisers of a L_0 + (1 − a) L_1, 0 ≤ a ≤ 1, of one layer (m, n): its Pareto front.

    What does not depend on a is computed once: a point costs one eigendecomposition per side and a few products.
    """

    def __init__(self, old: Quadratic, new: Quadratic):
        self.shape, self.dtype = old.center.shape, old.center.dtype
        self.tall = self.shape[0] > self.shape[1]
        if self.tall:
            old, new = old.transposed(), new.transposed()
        self.expand: Callable[[Tensor], Tensor] = lambda y: y
        if 2 * old.center.shape[0] <= old.center.shape[1]:
            old, new, self.expand = _in_common_span(old, new)
        self.old, self.new = _as_matrices(old), _as_matrices(new)
        self.average = (self.old.center + self.new.center) / 2
        self.pulls = [q.curvature(self.average - q.center) for q in (self.old, self.new)]
        self.scale = max(torch.sum(q.curvature(q.center) * q.center).item() for q in (self.old, self.new))

    def at(self, a: float) -> Point:
        return Point(self, a)

    def weight(self, y: Tensor) -> Tensor:
        """The task vector (m, n) whose coordinates on this front are ``y``, in the dtype of those merged."""
        x = self.expand(y).to(self.dtype)
        return x.T if self.tall else x


class Point:
    """The minimiser for one a, in the coordinates of its front: ``x``, the losses and their gradients there."""

    def __init__(self, front: Front, a: float):
        self.a = a
        self.left, lam = _eigh(front.old.p, front.new.p, a)
        self.right, mu = _eigh(front.old.q, front.new.q, a)
        scale = lam.unsqueeze(-1) + mu  # (m, n), or one column or row of it where one side is left out
        # where λ_i + μ_j vanishes the minimiser is not unique: no step there keeps it nearest the average
        floor = max(scale.shape) * torch.finfo(scale.dtype).eps * scale.max()
        self.inverse = torch.where(scale > floor, 1 / scale, 0)
        self.x = front.average - self.solve(torch.lerp(front.pulls[1], front.pulls[0], a))
        self.g0, self.l0 = front.old.gradient(self.x)
        self.g1, self.l1 = front.new.gradient(self.x)

    def solve(self, r: Tensor) -> Tensor:
        """y with A y + y B = ``r``, zero where that is undetermined."""
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
        """log L_0 / L_1, which falls with a."""
        if min(self.l0, self.l1) <= 0:
            return math.copysign(math.inf, self.l0 - self.l1)
        return math.log(self.l0 / self.l1)

    def tangent(self) -> tuple[Tensor, float]:
        """d x/da, which solves the same equation with right-hand side −(∇L_0 − ∇L_1)/2, and the slope of `log_ratio`."""
        direction = self.solve((self.g1 - self.g0) / 2)
        slope = torch.sum(self.g0 * direction) / self.l0 - torch.sum(self.g1 * direction) / self.l1
        return direction, slope.item()


class Solution(NamedTuple):
    """A minimiser ``x`` (m, n), its weight a, and the losses there."""

    x: Tensor
    a: float
    l0: float
    l1: float


def minimise(front: Front, alpha: Weight, *, start: float = 0.8, beta: float = 0.999, steps: int = 200) -> Solution:
    """The minimiser of a L_0 + (1 − a) L_1 nearest the average (D_0 + D_1)/2.

    Args:
        alpha: a; or ``"balanced"``, the a with L_0 = L_1, where loss-normalised MGDA with EMA would end if it ran for
            ever; or ``"mgda"``, an emulation of where its ``steps`` steps end, from a = ``start`` with EMA ``beta``.
    """
    if alpha == "balanced":
        x, a = balance(front)
        return Solution(front.weight(x), a, front.old.gradient(x)[1], front.new.gradient(x)[1])
    point = front.at(follow_mgda(front, start, beta, steps) if alpha == "mgda" else float(alpha))
    return Solution(front.weight(point.x), point.a, point.l0, point.l1)


def solve_exact(old: Quadratic, new: Quadratic, alpha: Weight) -> tuple[Tensor, float]:
    """The x and a of `minimise`, with the published settings for ``"mgda"``."""
    return minimise(Front(old, new), alpha)[:2]


def balance(front: Front, tolerance: float = 1e-9) -> tuple[Tensor, float]:
    """Newton's method, kept inside a bracket, for log L_0(x(a)) = log L_1(x(a)): x and a.

    It converges quadratically: once |log L_0/L_1| ≤ √tolerance one more step along the tangent reaches ``tolerance``,
    in x too, and needs no factorisation.
    """
    low, high, a = 0.0, 1.0, 0.5
    for _ in range(60):
        point = front.at(a)
        if max(point.l0, point.l1) <= 1e-14 * front.scale:  # both losses vanish together: nothing to balance
            break
        phi, slope = point.log_ratio, math.nan
        if abs(phi) <= tolerance or high - low <= 1e-15:
            break
        if math.isfinite(phi):
            direction, slope = point.tangent()
        low, high = (a, high) if phi > 0 else (low, a)
        a = a - phi / slope if slope < 0 else math.nan
        if low < a < high and abs(phi) <= math.sqrt(tolerance) / 3:
            return point.x + (a - point.a) * direction, a
        if not low < a < high:
            a = (low + high) / 2
    return point.x, point.a


def follow_mgda(front: Front, start: float, beta: float, steps: int, nodes: int = 4) -> float:
    """Where the published recursion a ← β a + (1 − β) c ends if every iterate is the exact minimiser for its a.

    There a ∇L_0 = −(1 − a) ∇L_1, so the shortest combination of the gradients divided by their losses is known:
    c = a L_0 / (a L_0 + (1 − a) L_1).  In ``steps`` steps a cannot leave [β^steps start, 1 − β^steps (1 − start)],
    where log L_0/L_1 is smooth: it is interpolated from ``nodes`` exact minimisers.
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


def _eigh(p0: Tensor | None, p1: Tensor | None, a: float) -> tuple[Tensor | None, Tensor]:
    if p0 is None or p1 is None:
        return None, torch.zeros((), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.lerp(p1, p0, a))
    return vectors, values.clamp(min=0)


def _as_matrices(quadratic: Quadratic) -> Quadratic:
    """``p`` and ``q`` in float64, from the factors where they are not there yet."""
    center, u, v, p, q, _ = (t if t is None else t.double() for t in quadratic)
    p = u @ u.T if p is None and u is not None else p
    q = v @ v.T if q is None and v is not None else q
    return Quadratic(center, u, v, p, q)


def _in_common_span(old: Quadratic, new: Quadratic) -> tuple[Quadratic, Quadratic, Callable[[Tensor], Tensor]]:
    """Both losses on the span of the 2m rows of D_0 and D_1 (m, n), n ≥ 2m, and the way back.

    With Z (n, 2m) an orthonormal basis of that span and [D_0; D_1] = L Zᵀ, the coordinates of D_i are L's rows.  All
    else lies in the span too: the v_j s_j are D_iᵀ u_j.  L comes from the Gram matrix of the rows by Cholesky, Z is
    never formed: y Zᵀ = y L⁻¹ [D_0; D_1].  Where the rows are (nearly) dependent, Z comes from a QR decomposition.
    """
    rows = torch.cat([old.center, new.center])  # (2m, n)
    m = len(old.center)
    grams = [(gram(q.center) if q.gram is None else q.gram) for q in (old, new)]
    cross = old.center.double() @ new.center.double().T
    lower, failed = torch.linalg.cholesky_ex(torch.cat([torch.cat([grams[0], cross], 1), torch.cat([cross.T, grams[1]], 1)]))
    pivots = lower.diagonal()
    if failed or pivots.min() < 1e-5 * pivots.max():
        basis, _ = torch.linalg.qr(rows.double().T)  # (n, 2m)
        lower = rows.double() @ basis
        return _restrict(old, lower[:m]), _restrict(new, lower[m:]), lambda y: y @ basis.T

    def expand(y: Tensor) -> Tensor:
        mix = torch.linalg.solve_triangular(lower, y, upper=False, left=False)  # (m, 2m), of the order of one
        return mix.to(rows.dtype) @ rows

    return _restrict(old, lower[:m]), _restrict(new, lower[m:]), expand


def _restrict(quadratic: Quadratic, center: Tensor) -> Quadratic:
    """The same loss where D_i has coordinates ``center`` (m, 2m)."""
    v = None
    if quadratic.v is not None:
        u = quadratic.center.double() @ quadratic.v.double() if quadratic.u is None else quadratic.u
        full = u.shape[1] == len(center)  # then U Uᵀ = 1, and v vᵀ is Lᵀ L
        v = center.T if full else center.T @ (u / torch.linalg.vector_norm(u, dim=0)).double()
    return Quadratic(center, quadratic.u, v)
