"""The exact side of DOP: accuracy where matrices are ill-conditioned, the front, the emulation, all tasks at once."""

from __future__ import annotations

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, pareto_front
from cmmlib.methods import dop, exact, opcm, spectral
from cmmlib.methods.losses import quadratic
from cmmlib.threads import side_by_side

f64 = torch.float64
GOLDEN = Path(__file__).parents[1] / "golden"


def orthogonal(n: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=f64))[0]


def with_values(m: int, n: int, values: list[float], seed: int = 0) -> Tensor:
    k = min(m, n)
    s = torch.tensor(values + [0.0] * (k - len(values)), dtype=f64)
    return (orthogonal(m, seed)[:, :k] * s) @ orthogonal(n, seed + 1)[:, :k].T


MATRICES = {
    "full rank": with_values(5, 7, [3, 2, 1, 0.5, 0.1]),
    "rank-deficient": with_values(6, 5, [2, 1, 1e-3]),
    "repeated": with_values(5, 5, [2, 2, 2, 1, 1]),
    "nearly repeated": with_values(5, 5, [2, 2 * (1 - 1e-9), 1, 1e-2, 1e-5]),
    "six decades": with_values(6, 6, [1, 1e-1, 1e-2, 1e-3, 1e-5, 1e-6]),
    "below the tolerance": with_values(5, 5, [1, 1e-2, 1e-9, 1e-11]),
    "zero": torch.zeros(4, 3, dtype=f64),
    "1 x n": with_values(1, 6, [0.3]),
    "n x 1": with_values(6, 1, [0.3]),
}


def mp_svdvals(a: Tensor) -> list[mpmath.mpf]:
    """Singular values at 60 digits, descending."""
    with mpmath.workdps(60):
        matrix = mpmath.matrix(a.tolist())
        if a.shape[0] < a.shape[1]:
            matrix = matrix.T
        return sorted((abs(s) for s in mpmath.svd_r(matrix, compute_uv=False)), reverse=True)


@pytest.mark.parametrize("name", MATRICES)
def test_thin_svd_against_60_digits(name: str):
    a = MATRICES[name]
    expected = mp_svdvals(a)
    u, s, v = spectral.thin_svd(a)
    kept = [x for x in expected if x > spectral.RANK_TOLERANCE * expected[0]]
    assert len(s) == len(kept)  # the stated convention: pairs at or below the tolerance do not exist
    for ours, exact_value in zip(s.tolist(), kept, strict=True):
        assert abs(ours - exact_value) <= 1e-14 * expected[0]
    if len(s):
        eye = torch.eye(len(s), dtype=f64)
        smaller, larger = (u, v) if a.shape[0] <= a.shape[1] else (v, u)
        assert (smaller.T @ smaller - eye).abs().max() <= 1e-13
        # the large side's vectors lose (s_1 / s_i)²: u_i errs by eps (s_1 / s_i)² towards u_1, which Aᵀ stretches again
        assert (larger.T @ larger - eye).abs().max() <= 1e-15 * float(expected[0] / kept[-1]) ** 2 + 1e-13
        assert ((u * s) @ v.T - a).norm() <= 2 * spectral.RANK_TOLERANCE * a.norm()


@pytest.mark.parametrize("name", MATRICES)
def test_projection_at_60_digits_is_orthogonal_to_what_is_merged(name: str):
    merged = MATRICES[name]
    tau = torch.randn(merged.shape, generator=torch.Generator().manual_seed(9), dtype=f64)
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    with mpmath.workdps(60):
        products = (mpmath.mpf(x) * y for x, y in zip(merged.flatten().tolist(), cleaned.flatten().tolist(), strict=True))
        inner = mpmath.fsum(products)
    assert abs(inner) <= 2e-9 * float(merged.norm() * tau.norm()) + 1e-300  # theorem 5.1
    if name == "zero":
        assert torch.equal(cleaned, tau)


@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("name", [name for name in MATRICES if name != "zero"])
def test_stationarity_at_60_digits(name: str, space: str):
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


# ---------------------------------------------------------------------------------------------- the front


def small_models(seed: int = 0) -> tuple[dict[str, Tensor], ...]:
    g = torch.Generator().manual_seed(seed)
    base = {"a.weight": torch.randn(6, 5, generator=g), "b.weight": torch.randn(3, 9, generator=g), "b.bias": torch.ones(3)}
    return base, *({k: t + 0.1 * torch.randn(t.shape, generator=g) for k, t in base.items()} for _ in range(2))


LINEAR = ["*.weight"]


def test_front_falls_and_rises_with_alpha_and_is_not_dominated():
    alphas = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    frame = pareto_front(*small_models(), alphas, linear=LINEAR)
    assert list(frame.columns) == ["layer", "alpha", "a", "loss_stability", "loss_plasticity"]
    assert len(frame) == 2 * len(alphas)
    for _, layer in frame.groupby("layer"):
        slack = 1e-12 * layer["loss_stability"].max()
        assert (np.diff(layer["loss_stability"]) <= slack).all() and (np.diff(layer["loss_plasticity"]) >= -slack).all()


def test_front_gives_the_weights_that_the_method_gives():
    base, merged, new = small_models()
    alphas = [0.25, "balanced", "mgda"]
    frame, models = pareto_front(base, merged, new, alphas, weights=True, linear=LINEAR)
    for alpha in alphas:
        merger = ContinualMerger(base, "dop", solver="exact", alpha=alpha, linear=LINEAR).add(merged).add(new)
        expected = merger.merged()
        assert models[alpha].keys() == expected.keys()
        assert all(torch.allclose(models[alpha][key], expected[key], atol=1e-6) for key in expected)
        losses = frame[frame.alpha == alpha]
        assert losses["loss_stability"].mean() == pytest.approx(merger.history["loss_stability_mean"].iloc[-1], rel=1e-6)
    balanced = frame[frame.alpha == "balanced"]
    assert np.allclose(balanced["loss_stability"], balanced["loss_plasticity"], rtol=1e-6)


def test_front_of_an_unchanged_layer_is_a_point():
    base, merged, new = small_models()
    merged["a.weight"] = base["a.weight"]
    frame, models = pareto_front(base, merged, new, [0.2, 0.8], weights=True, linear=LINEAR)
    assert frame[frame.layer == "a.weight"]["a"].isna().all()
    assert torch.allclose(models[0.2]["a.weight"], new["a.weight"])


@pytest.mark.parametrize("alpha", [-0.1, 1.5, "even", None])
def test_an_alpha_that_is_none_is_named(alpha: object):
    with pytest.raises(ValueError, match="alphas: expected numbers in"):
        pareto_front(*small_models(), [alpha], linear=LINEAR)


@given(st.integers(0, 10**6), st.floats(-2, 2), st.sampled_from([(5, 5), (3, 8), (8, 3), (1, 4)]))
def test_emulated_mgda_equals_the_recursion_written_out(seed: int, log_ratio: float, shape: tuple[int, int]):
    g = torch.Generator().manual_seed(seed)
    old, new = (quadratic(f * torch.randn(shape, generator=g, dtype=f64), "uv", 0.99999) for f in (1.0, 10**log_ratio))
    front, a = exact.Front(old, new), 0.8
    for _ in range(40):
        point = front.at(a)
        (g0, l0), (g1, l1) = (loss.gradient(point.x) for loss in (front.old, front.new))
        assert (point.l0, point.l1) == (pytest.approx(l0), pytest.approx(l1))
        g0, g1 = g0 / l0, g1 / l1
        c = dop.mgda_weight(*(float(torch.sum(p * q)) for p, q in ((g0, g0), (g0, g1), (g1, g1))))
        a = 0.99 * a + 0.01 * min(max(c, 0.0), 1.0)
    assert exact.follow_mgda(front, 0.8, 0.99, 40) == pytest.approx(a, abs=2e-3)


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


def test_emulated_mgda_ends_balanced_if_it_runs_for_ever():
    g = torch.Generator().manual_seed(1)
    old, new = (quadratic(torch.randn(5, 6, generator=g, dtype=f64), "uv", 0.99999) for _ in range(2))
    a = exact.follow_mgda(exact.Front(old, new), 0.8, 0.99, 20000, nodes=24)
    assert a == pytest.approx(exact.solve_exact(old, new, "balanced")[1], abs=1e-3)


def test_emulated_mgda_is_where_the_published_solver_goes():
    """On the golden models: nearly the same weight as 200 Adam steps, and never above in the weighted loss."""
    base, old, new = (load_file(GOLDEN / f"{name}.safetensors") for name in ("base", "task0", "task1"))
    for name in [name for name in base if name.endswith(("q_proj.weight", "fc1.weight"))][:3]:
        losses = [quadratic(model[name] - base[name], "uv", 0.99999) for model in (old, new)]
        settings = dict(lr=1e-4, num_steps=200, alpha=0.8, mgda=True, ema=True, ema_beta=0.999)
        adam, a_adam = dop.solve_adam(*losses, **settings)
        found = exact.minimise(exact.Front(*losses), "mgda")
        assert found.a == pytest.approx(a_adam, abs=0.02)
        reached = [q.gradient(adam)[1] for q in losses]
        assert found.a * found.l0 + (1 - found.a) * found.l1 <= found.a * reached[0] + (1 - found.a) * reached[1] + 1e-9


# ---------------------------------------------------------------------------------------------- all tasks at once


def merge_all(taus: list[Tensor], **params) -> Tensor:
    merger = ContinualMerger({"w": torch.zeros_like(taus[0])}, "dop_all", linear=["w"], compute_dtype=f64, **params)
    for tau in taus:
        merger.add({"w": tau})
    return merger.merged()["w"]


def taus(shape: tuple[int, int], count: int = 4) -> list[Tensor]:
    return [torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=f64) for seed in range(count)]


@pytest.mark.parametrize("weighting", ["none", "norm"])
@pytest.mark.parametrize("space", ["u", "v", "uv"])
@pytest.mark.parametrize("shape", [(5, 5), (3, 9), (9, 3), (1, 4), (4, 1)])
def test_all_task_dop_minimises_the_sum_of_all_losses(shape: tuple[int, int], space: str, weighting: str):
    models = taus(shape)
    x = merge_all(models, svd_proj_space=space, weighting=weighting, ridge=0.0)
    gradient, start = torch.zeros_like(x), torch.zeros_like(x)
    for tau in models:
        weight = 1 / tau.norm() ** 2 if weighting == "norm" else 1.0
        loss = quadratic(tau, space, 1.0)
        gradient += weight * loss.curvature(x - tau)
        start += weight * loss.curvature(tau)
    assert gradient.norm() <= 1e-9 * start.norm()


@pytest.mark.parametrize("space", ["u", "v", "uv"])
def test_all_task_dop_does_not_see_the_order(space: str):
    base, *_ = small_models()
    models = [small_models(seed)[1] for seed in range(5)]
    models = [{k: base[k] + 0.1 * m[k] for k in base} for m in models]
    there = cmmlib.merge(base, models, method="dop_all", svd_proj_space=space, linear=LINEAR)
    back = cmmlib.merge(base, models[::-1], method="dop_all", svd_proj_space=space, linear=LINEAR)
    assert all(torch.allclose(there[key], back[key], atol=1e-5) for key in base)


def test_all_task_dop_keeps_a_state_of_constant_size():
    sizes = []
    merger = ContinualMerger({"w": torch.zeros(4, 6)}, "dop_all", linear=["w"], svd_proj_space="uv")
    for tau in taus((4, 6)):
        merger.add({"w": tau.float()})
        sizes.append({name: tuple(part.shape) for name, part in merger._now.running["w"].items()})
    assert sizes == [{"r": (4, 6), "p": (4, 4), "q": (6, 6)}] * 4


def test_a_ridge_shrinks_and_none_returns_a_single_model():
    (tau,) = taus((4, 6), 1)
    assert (merge_all([tau], ridge=0.0) - tau).norm() <= 1e-9 * tau.norm()
    assert merge_all([tau], ridge=1.0).norm() < tau.norm()


def test_other_parameters_are_summed_over_the_root_of_their_number_or_averaged():
    models = [{"b": torch.full((3,), value)} for value in (1.0, 2.0, 6.0)]
    for others, expected in (("sqrt", 9 / math.sqrt(3)), ("mean", 3.0)):
        merged = cmmlib.merge({"b": torch.zeros(3)}, models, method="dop_all", others=others)["b"]
        assert torch.allclose(merged, torch.full((3,), expected))


# ---------------------------------------------------------------------------------------------- threads


def test_side_by_side_is_map_whatever_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert list(side_by_side(lambda x: x * x, iter(range(20)))) == [x * x for x in range(20)]
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_an_error_in_one_layer_arrives():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            list(side_by_side(lambda x: 1 / x, [1, 2, 0, 3]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
