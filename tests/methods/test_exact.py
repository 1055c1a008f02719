"""DOP's exact minimiser: stationary to 60 digits' measure, nearest the average, balanced, and below Adam's result."""

from __future__ import annotations

from typing import Literal

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cmmlib.methods import dop, exact
from cmmlib.methods.losses import Quadratic, Space, quadratic

from ..helpers.conditioning import MATRICES
from ..helpers.dop_losses import pair
from ..helpers.layers import SHAPES, close, f64, randn


def objective(old: Quadratic, new: Quadratic, x: Tensor, a: float) -> float:
    return float(a * old.gradient(x)[1] + (1 - a) * new.gradient(x)[1])


@pytest.mark.parametrize("a", [0.2, 0.8])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", SHAPES)
def test_exact_solution_is_stationary_and_below_adams(shape: tuple[int, int], space: Space, a: float):
    old, new = pair(shape, space)
    x, weight = exact.solve_exact(old, new, a)
    assert weight == a
    gradients = [q.gradient(x)[0] for q in (old, new)]
    start = [q.gradient((old.center + new.center) / 2)[0] for q in (old, new)]
    residual = (a * gradients[0] + (1 - a) * gradients[1]).norm()
    assert residual <= 1e-10 * max(g.norm() for g in start)
    for lr in (1e-4, 1e-1):
        adam, _ = dop.solve_adam(old, new, lr=lr, num_steps=50, alpha=a, mgda=False, ema=False, ema_beta=0.9)
        assert objective(old, new, x, a) <= objective(old, new, adam, a) * (1 + 1e-12)


@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("name", [name for name in MATRICES if name != "zero"])
def test_stationarity_at_60_digits(name: str, space: Space):
    """A y + y B = R holds to rounding wherever λ_i + μ_j is above the tolerance: the residual has no such part."""
    old = MATRICES[name]
    new = torch.randn(old.shape, generator=torch.Generator().manual_seed(3), dtype=f64)
    losses = [quadratic(d, space, 0.99999) for d in (old, new)]
    x, a = exact.solve_exact(*losses, 0.3)
    gradient = torch.zeros_like(x)
    with mpmath.workdps(60):
        total = mpmath.zeros(*x.shape)
        for weight, q in ((a, losses[0]), (1 - a, losses[1])):
            e = mpmath.matrix(x.tolist()) - mpmath.matrix(q.center.tolist())
            if q.u is not None:
                u = mpmath.matrix(q.u.tolist())
                total += mpmath.mpf(weight) * (u * (u.T * e))
            if q.v is not None:
                v = mpmath.matrix(q.v.tolist())
                total += mpmath.mpf(weight) * ((e * v) * v.T)
        gradient = torch.tensor([[float(total[i, j]) for j in range(x.shape[1])] for i in range(x.shape[0])], dtype=f64)
    average = (old + new) / 2
    start = sum(w * q.curvature(average - q.center) for w, q in ((a, losses[0]), (1 - a, losses[1])))
    assert gradient.norm() <= 1e-10 * start.norm()


def kronecker_solution(old: Quadratic, new: Quadratic, a: float) -> Tensor:
    """Minimum-norm deviation from the average, from the mn × mn Hessian written out."""
    m, n = old.center.shape
    hessian, right = torch.zeros(m * n, m * n, dtype=f64), torch.zeros(m * n, dtype=f64)
    average = (old.center + new.center).double() / 2
    for weight, q in ((a, old), (1 - a, new)):
        part = torch.zeros(m * n, m * n, dtype=f64)
        if q.u is not None:
            part += torch.kron((q.u @ q.u.T).double(), torch.eye(n, dtype=f64))
        if q.v is not None:
            part += torch.kron(torch.eye(m, dtype=f64), (q.v @ q.v.T).double())
        hessian += weight * part
        right -= weight * part @ (average - q.center.double()).reshape(-1)
    step = torch.linalg.pinv(hessian, hermitian=True, rtol=1e-11) @ right
    return average + step.reshape(m, n)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize(
    ("shape", "rank"),
    [
        ((5, 5), None),
        ((4, 7), None),
        ((7, 4), None),
        ((2, 9), None),
        ((9, 2), None),
        ((6, 6), 1),
        ((3, 9), 2),
        ((1, 6), None),
    ],
)
def test_exact_solution_is_the_minimiser_nearest_the_average(
    shape: tuple[int, int], rank: int | None, space: Space, a: float
):
    old, new = pair(shape, space, rank=rank)
    assert close(exact.solve_exact(old, new, a)[0], kronecker_solution(old, new, a), rel=1e-8)


@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, "balanced"])
def test_wide_layers_are_reduced_without_a_trace(space: Space, alpha: float | Literal["balanced"]):
    old, new = pair((3, 31), space)
    reduced, a = exact.solve_exact(old, new, alpha)
    old, new = (loss._replace(gram=None) for loss in (old, new))  # what the reduction starts from
    whole, b = exact.solve_exact(old, new, alpha)
    assert a == pytest.approx(b, abs=1e-9)
    assert close(reduced, whole, rel=1e-8)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.sampled_from(["u", "v", "uv"]), st.floats(-3, 3))
def test_balanced_solution_equalises_the_losses(seed: int, shape: tuple[int, int], space: Space, log_ratio: float):
    old = quadratic(randn(*shape, seed=seed), space, 0.99999)
    new = quadratic(10**log_ratio * randn(*shape, seed=seed + 1), space, 0.99999)
    x, a = exact.solve_exact(old, new, "balanced")
    l0, l1 = (float(q.gradient(x)[1]) for q in (old, new))
    scale = max(float(q.gradient(torch.zeros_like(x))[1]) for q in (old, new))
    assert 0 < a < 1
    assert l0 == pytest.approx(l1, rel=1e-5, abs=1e-13 * scale)
    assert close(exact.solve_exact(old, new, a)[0], x, rel=1e-6)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_balance_needs_few_factorisations(factor: float, monkeypatch: pytest.MonkeyPatch):
    g = torch.Generator().manual_seed(2)
    old, new = (quadratic(f * torch.randn(24, 30, generator=g, dtype=f64), "uv", 0.99999) for f in (1.0, factor))
    points, at = [], exact.Front.at
    monkeypatch.setattr(exact.Front, "at", lambda front, a: points.append(a) or at(front, a))
    found = exact.minimise(exact.Front(old, new), "balanced")
    assert len(points) <= 3
    assert found.l0 == pytest.approx(found.l1, rel=1e-8)
    assert torch.allclose(found.x, exact.solve_exact(old, new, found.a)[0], rtol=0, atol=1e-8 * float(found.x.abs().max()))
