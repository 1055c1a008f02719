"""DOP, dual orthogonal projections (NeurIPS 2025, OpenReview zD5cUX67b9): the published solver and an exact one.

Per linear weight, with task vectors D_0 of the merged model (stability) and D_1 of the new one (plasticity), their SVDs
cut at a rank, X the task vector sought and E_i = X − D_i, the two losses are
``L_i = ‖S_i U_iᵀ E_i‖² + ‖E_i V_i S_i‖²``.  With P_i = U_i S_i² U_iᵀ and Q_i = V_i S_i² V_iᵀ their gradients need no
autograd: ``∇L_i = 2 (P_i E_i + E_i Q_i)`` and ``L_i = ½ ⟨∇L_i, E_i⟩``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor

from .registry import Context, Interval, Kind, method
from .spectral import SVD, cumulative_share, thin_svd

Space = Literal["u", "v", "uv"]


class Quadratic(NamedTuple):
    """One loss L_i about its own optimum ``center`` = D_i (m, n), with thin factors ``u`` = U_i S_i, ``v`` = V_i S_i."""

    center: Tensor
    u: Tensor | None  # (m, k) or None where the space leaves the term out
    v: Tensor | None  # (n, k)

    def gradient(self, x: Tensor) -> tuple[Tensor, float]:
        """(∇L_i, L_i) at ``x`` (m, n)."""
        e = x - self.center
        gradient = self.curvature(e).mul_(2)
        return gradient, torch.dot(gradient.flatten(), e.flatten()).item() / 2

    def curvature(self, e: Tensor) -> Tensor:
        """P_i e + e Q_i, half the Hessian applied to ``e`` (m, n)."""
        result = torch.zeros_like(e) if self.u is None else self.u @ (self.u.T @ e)
        return result if self.v is None else result.addmm_(e @ self.v, self.v.T)

    def transposed(self) -> Quadratic:
        return Quadratic(self.center.T, self.v, self.u)


def rank_at(s: Tensor, svd_epsilon: float, *, compat: bool = False) -> int:
    """How many of the descending singular values ``s`` are kept: the fewest whose share of the sum reaches ε.

    The published code keeps those whose cumulative share is *below* ε: one fewer.
    """
    below = int(torch.searchsorted(cumulative_share(s), torch.tensor(svd_epsilon, dtype=s.dtype, device=s.device)))
    return below if compat else min(below + 1, len(s))


def quadratic(task_vector: Tensor, space: Space, svd_epsilon: float, *, compat: bool = False) -> Quadratic:
    """The loss of one model with task vector D (m, n) on this layer; see the top of this module."""
    svd: SVD = thin_svd(task_vector)
    svd = svd.truncated(rank_at(svd.s, svd_epsilon, compat=compat))
    u = (svd.u * svd.s).to(task_vector.dtype) if "u" in space else None
    v = (svd.v * svd.s).to(task_vector.dtype) if "v" in space else None
    return Quadratic(task_vector, u, v)


def mgda_weight(v00: float, v01: float, v11: float) -> float:
    """The weight c of the shortest vector c g0 + (1 − c) g1 (Sener & Koltun, arXiv 1810.04650, algorithm 1).

    Clipped to 0.999 and 0.001 where one gradient alone is the shortest.

    Args:
        v00, v01, v11: the inner products ⟨g0, g0⟩, ⟨g0, g1⟩, ⟨g1, g1⟩.
    """
    if v01 >= v00:
        return 0.999
    if v01 >= v11:
        return 0.001
    return (v11 - v01) / (v00 + v11 - 2 * v01)


def solve_adam(
    old: Quadratic,
    new: Quadratic,
    *,
    lr: float,
    num_steps: int,
    alpha: float,
    mgda: bool,
    ema: bool,
    ema_beta: float,
) -> tuple[Tensor, float]:
    """The published solver: Adam on a L_0 + (1 − a) L_1 from the average, and the last a.

    With ``mgda`` each step finds a from the gradients divided by their losses, smoothed by ``ema``.
    """
    x = ((old.center + new.center) / 2).contiguous()  # fused Adam walks memory: strides as the gradient's
    optimizer = torch.optim.Adam([x], lr=lr, fused=True)
    a = alpha
    for _ in range(num_steps):
        g0, l0 = old.gradient(x)
        g1, l1 = new.gradient(x)
        if mgda and l0 > 0 and l1 > 0:
            v00, v01, v11 = (torch.dot(p.flatten(), q.flatten()).item() for p, q in ((g0, g0), (g0, g1), (g1, g1)))
            c = mgda_weight(v00 / l0**2, v01 / (l0 * l1), v11 / l1**2)
            a = ema_beta * a + (1 - ema_beta) * c if ema else c
        x.grad = torch.lerp(g1, g0, a)
        optimizer.step()
    return x, a


class _Sylvester:
    """The half Hessian of a L_0 + (1 − a) L_1, diagonalised: A Y + Y B = R becomes a division by λ_i + μ_j."""

    def __init__(self, old: Quadratic, new: Quadratic, a: float):
        self.left, lam = self._side(old.u, new.u, a)
        self.right, mu = self._side(old.v, new.v, a)
        scale = lam.unsqueeze(-1) + mu  # (m, n), or one column or row of it where one side is left out
        # where λ_i + μ_j vanishes the minimiser is not unique: no step there keeps it nearest the average
        floor = max(scale.shape) * torch.finfo(scale.dtype).eps * scale.max()
        self.inverse = torch.where(scale > floor, 1 / scale, 0)

    @staticmethod
    def _side(u0: Tensor | None, u1: Tensor | None, a: float) -> tuple[Tensor | None, Tensor]:
        if u0 is None or u1 is None:
            return None, torch.zeros((), dtype=torch.float64)
        gram = (a * u0) @ u0.T + ((1 - a) * u1) @ u1.T
        values, vectors = torch.linalg.eigh(gram)
        return vectors, values.clamp(min=0)

    def solve(self, r: Tensor) -> Tensor:
        """Y (m, n) with A Y + Y B = ``r`` (m, n), zero where that is undetermined."""
        if self.left is not None:
            r = self.left.T @ r
        if self.right is not None:
            r = r @ self.right
        r = r * self.inverse
        if self.left is not None:
            r = self.left @ r
        return r if self.right is None else r @ self.right.T


def solve_exact(old: Quadratic, new: Quadratic, alpha: float | Literal["balanced"]) -> tuple[Tensor, float]:
    """The minimiser of a L_0 + (1 − a) L_1 nearest the average (D_0 + D_1)/2, and a.

    A x + x B = R, a Sylvester equation for the deviation from the average, in float64.  ``"balanced"`` finds the a with
    L_0 = L_1, where loss-normalised MGDA with EMA would end if it ran for ever.
    """
    rows, columns = old.center.shape
    if rows > columns:
        x, a = solve_exact(old.transposed(), new.transposed(), alpha)
        return x.T, a
    if columns > 2 * rows:
        # the rows of D_0, D_1 and all factors V lie in one space of at most 2m dimensions: solve there
        basis, _ = torch.linalg.qr(torch.cat([old.center, new.center]).double().T)  # (n, 2m)
        x, a = solve_exact(_restrict(old, basis), _restrict(new, basis), alpha)
        return (x.double() @ basis.T).to(old.center.dtype), a
    exact = [Quadratic(*(None if f is None else f.double() for f in q)) for q in (old, new)]
    x, a = _balance(*exact) if alpha == "balanced" else _minimise(*exact, float(alpha))
    return x.to(old.center.dtype), a


def _restrict(q: Quadratic, basis: Tensor) -> Quadratic:
    return Quadratic(q.center.double() @ basis, q.u, None if q.v is None else basis.T @ q.v.double())


def _minimise(old: Quadratic, new: Quadratic, a: float) -> tuple[Tensor, float]:
    return _step_to_minimum(old, new, a)[0], a


def _step_to_minimum(old: Quadratic, new: Quadratic, a: float) -> tuple[Tensor, _Sylvester]:
    average = (old.center + new.center) / 2
    system = _Sylvester(old, new, a)
    residual = a * old.curvature(average - old.center) + (1 - a) * new.curvature(average - new.center)
    return average - system.solve(residual), system


def _balance(old: Quadratic, new: Quadratic, tolerance: float = 1e-9) -> tuple[Tensor, float]:
    """Newton's method, kept inside a bracket, for φ(a) = log L_0(x(a)) − log L_1(x(a)) = 0; φ falls with a.

    x'(a) solves the same Sylvester equation with right-hand side −(∇L_0 − ∇L_1)/2, so a slope costs four products.
    """
    low, high, a = 0.0, 1.0, 0.5
    scale = max(torch.sum(q.curvature(q.center) * q.center).item() for q in (old, new))
    for _ in range(60):
        x, system = _step_to_minimum(old, new, a)
        g0, l0 = old.gradient(x)
        g1, l1 = new.gradient(x)
        if max(l0, l1) <= 1e-14 * scale:  # both losses vanish together: there is nothing to balance
            break
        if min(l0, l1) <= 0:
            phi, slope = math.copysign(math.inf, l0 - l1), math.nan
        else:
            phi = math.log(l0 / l1)
            direction = system.solve((g1 - g0) / 2)
            slope = (torch.sum(g0 * direction) / l0 - torch.sum(g1 * direction) / l1).item()
        if abs(phi) <= tolerance or high - low <= 1e-15:
            break
        low, high = (a, high) if phi > 0 else (low, a)
        a = a - phi / slope if slope < 0 else math.nan
        if not low < a < high:
            a = (low + high) / 2
    return x, a


def _check(params: Mapping[str, Any], layers: Mapping[str, Kind]) -> None:
    linear = {name.removesuffix(".weight") for name, kind in layers.items() if kind == "linear"}
    for key in params["exclude_keys"]:
        if key.removeprefix("vision_model.") not in linear:
            raise ValueError(
                f"method 'dop', parameter 'exclude_keys': {key!r} is not the name of a linear module of the base; "
                f"one of them is {min(linear, default='(there is none)')!r}"
            )
    if params["solver"] == "adam" and isinstance(params["alpha"], str):
        raise ValueError("method 'dop', parameter 'alpha': 'balanced' needs solver='exact'")


@method(paper="https://openreview.net/forum?id=zD5cUX67b9", check=_check, layerwise=True, keeps_first=True)
def dop(
    merged: Tensor,
    task_vector: Tensor,
    ctx: Context,
    *,
    lr: Annotated[float, Interval(0, open=True)] = 1e-4,
    num_steps: Annotated[int, Interval(0)] = 200,
    mgda: bool = True,
    ema: bool = True,
    ema_beta: Annotated[float, Interval(0, 1)] = 0.999,
    alpha: Annotated[float, Interval(0, 1)] | Literal["balanced"] = 0.8,
    svd_epsilon: Annotated[float, Interval(0, 1, open=True)] = 0.99999,
    svd_proj_space: Space = "uv",
    exclude_keys: tuple[str, ...] = (),
    solver: Literal["adam", "exact"] = "adam",
) -> Tensor | tuple[Tensor, dict[str, float]]:
    """The first model as it is; then per linear weight the balance of L_0 and L_1, else the mean of merged and new.

    Args:
        lr, num_steps: of Adam (published: 1e-4, 200); the exact solver has no use for them, nor for the next three.
        mgda: let the gradients choose the weight a of L_0 at every step; else a = ``alpha`` throughout.
        ema: smooth that weight, a ← β a + (1 − β) c, from a = ``alpha`` (published: on).
        ema_beta: β.
        alpha: weight of stability, L_0, against plasticity; for the exact solver also ``"balanced"``, L_0 = L_1.
        svd_epsilon: share of the singular values' sum that is kept.
        svd_proj_space: which of the two terms of L_i to use.
        exclude_keys: names of linear modules to average instead.
        solver: ``"adam"`` as published, ``"exact"`` for the minimiser itself.

    Reports ``alpha`` (the final weight), ``loss_stability`` (L_0), ``loss_plasticity`` (L_1) per layer, and
    ``degenerate`` = 1 where a task vector is zero: if the new one is, the merged layer stays; if the merged one is, the
    new layer is taken.
    """
    if ctx.t == 1:
        return task_vector
    if ctx.reference_compat and ctx.kind == "free":
        return torch.zeros_like(merged)  # never visited by the published code: left at the pretrained value
    excluded = ctx.name.removesuffix(".weight") in {key.removeprefix("vision_model.") for key in exclude_keys}
    if ctx.kind != "linear" or excluded:
        return (merged + task_vector) / 2
    if not task_vector.any():
        return merged, {"degenerate": 1.0}
    if not merged.any():
        return task_vector, {"degenerate": 1.0}
    compat = ctx.reference_compat
    old = quadratic(merged, svd_proj_space, svd_epsilon, compat=compat)
    new = quadratic(task_vector, svd_proj_space, svd_epsilon, compat=compat)
    if solver == "exact":
        x, a = solve_exact(old, new, alpha)
    else:
        x, a = solve_adam(old, new, lr=lr, num_steps=num_steps, alpha=float(alpha), mgda=mgda, ema=ema, ema_beta=ema_beta)
    return x, {
        "alpha": a,
        "loss_stability": old.gradient(x)[1],
        "loss_plasticity": new.gradient(x)[1],
        "degenerate": 0.0,
    }
