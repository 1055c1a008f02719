"""OPCM: the projection against the printed one, both theorems, the paper's recursion, alpha = 1, degenerate layers."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cmmlib import ContinualMerger
from cmmlib.methods import opcm, spectral

from ..helpers.conditioning import MATRICES
from ..helpers.layers import SHAPES, close, f64, randn


def full_clean(tau: Tensor, merged: Tensor, alpha: float, zero_diagonal: bool) -> Tensor:
    """The paper's projection as printed: full square U and V, P = Uᵀ τ V, entries set to zero."""
    u, s, vt = torch.linalg.svd(merged.double(), full_matrices=True)
    p = u.T @ tau.double() @ vt.T
    above = s.cumsum(0) / s.sum() > alpha + 1e-12
    r = int(above.int().argmax()) if above.any() else len(s)
    if zero_diagonal:
        p.diagonal()[:] = 0
    p[:r, :r] = 0
    return u @ p @ vt


@pytest.mark.parametrize("zero_diagonal", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_thin_projection_equals_the_full_one(shape: tuple[int, int], alpha: float, zero_diagonal: bool):
    merged, tau = randn(*shape, seed=2), randn(*shape, seed=3)
    thin = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=zero_diagonal)
    assert (thin - full_clean(tau, merged, alpha, zero_diagonal)).norm() <= 1e-9 * tau.norm()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_theorem_5_1_what_is_added_is_orthogonal(shape: tuple[int, int], alpha: float):
    merged, tau = randn(*shape, seed=4), randn(*shape, seed=5)
    cleaned = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=True)
    assert abs(torch.sum(merged * cleaned)) <= 1e-10 * merged.norm() * tau.norm()


def test_theorem_5_1_needs_the_zeroed_diagonal():
    merged, tau = randn(8, 8, seed=4), randn(8, 8, seed=5)
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=False)
    assert abs(torch.sum(merged * cleaned)) > 1e-3 * merged.norm() * tau.norm()


def test_theorem_5_1_holds_where_the_merged_vector_is_ill_conditioned():
    u, v = (torch.linalg.qr(randn(32, 32, seed=seed))[0] for seed in (6, 7))
    merged = (u * torch.logspace(0, -12, 32, dtype=f64)) @ v.T
    tau = randn(32, 32, seed=8)
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert abs(torch.sum(merged * cleaned)) <= 1e-6 * merged.norm() * tau.norm()


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


@pytest.mark.parametrize("zero_diagonal", [True, False])
def test_theorem_5_2_the_norm_is_the_mean_norm_at_every_step(perturbed: Callable, zero_diagonal: bool):
    base = {"fc.weight": randn(6, 5, seed=0), "fc.bias": randn(6, seed=1)}
    merger = ContinualMerger(base, "opcm", linear=["fc.*"], zero_diagonal=zero_diagonal)
    for step in range(1, 5):
        merger.add(perturbed(base, step, scale=0.1 * step))
        history = merger.history
        assert history["merged_norm"].iloc[-1] == pytest.approx(history["task_vector_norm"].mean(), rel=1e-12)


@pytest.mark.parametrize("zero_diagonal", [True, False])
def test_unscaled_sum_equals_the_papers_recursion(zero_diagonal: bool):
    taus = [{"w": randn(7, 5, seed=seed), "b": randn(7, seed=seed + 50)} for seed in range(5)]
    merger = ContinualMerger({k: torch.zeros_like(t) for k, t in taus[0].items()}, linear=["w"], zero_diagonal=zero_diagonal)
    merged, lam, norms = {}, 1.0, []
    for t, tau in enumerate(taus):
        norms.append(sum(x.norm() ** 2 for x in tau.values()).sqrt())
        if t == 0:
            merged = dict(tau)
        else:  # M ← (λ_prev M + cleaned) / λ
            total = {"w": full_clean(tau["w"], merged["w"], 0.5, zero_diagonal), "b": tau["b"]}
            total = {key: lam * merged[key] + total[key] for key in total}
            lam = sum(x.norm() ** 2 for x in total.values()).sqrt() / torch.stack(norms).mean()
            merged = {key: x / lam for key, x in total.items()}
        merger.add(tau)
        assert all(close(merger.merged()[key], merged[key]) for key in merged)
        assert merger.history["lambda"].iloc[-1] == pytest.approx(float(lam), rel=1e-9)


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (96, 24), (24, 36)])
def test_float32_rounds_the_result_and_no_more_where_the_merged_vector_is_ill_conditioned(shape: tuple[int, int]):
    m, n = shape
    u, v = (torch.linalg.qr(randn(k, min(shape), seed=seed))[0] for seed, k in enumerate(shape))
    merged = ((u * torch.logspace(0, -4, min(shape), dtype=f64)) @ v.T).float()
    tau = randn(m, n, seed=8).float()
    expected = opcm.clean(tau.double(), merged.double(), alpha=0.5, zero_diagonal=True)
    assert (opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True) - expected).norm() <= 3e-7 * tau.norm()


def test_alpha_one_projects_out_everything_and_compat_the_least():
    merged, tau = randn(6, 4, seed=0), randn(6, 4, seed=1)
    u, _, v = spectral.thin_svd(merged)
    full = tau - u @ (u.T @ tau @ v) @ v.T  # r = k
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False), full)
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=True), full)
    assert close(opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False, compat=True), tau)  # r = 0


def test_alpha_one_takes_all_pairs_whatever_the_rounding():
    for seed in range(30):
        merged, tau = randn(40, 40, seed=seed), randn(40, 40, seed=seed + 1000)
        assert opcm.clean(tau, merged, alpha=1.0, zero_diagonal=False).norm() <= 1e-8 * tau.norm(), seed


@pytest.mark.parametrize("zero_diagonal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_projection_commutes_with_transposition(shape: tuple[int, int], zero_diagonal: bool):
    merged, tau = randn(*shape, seed=9), randn(*shape, seed=10)
    there = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=zero_diagonal)
    back = opcm.clean(tau.T, merged.T, alpha=0.5, zero_diagonal=zero_diagonal).T
    assert (there - back).norm() <= 1e-9 * tau.norm()


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_projection_does_not_see_the_scale_of_what_is_merged(scale: float):
    merged, tau = randn(6, 9, seed=11), randn(6, 9, seed=12)
    expected = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert close(opcm.clean(tau, scale * merged, alpha=0.5, zero_diagonal=True), expected)
    assert close(opcm.clean(scale * tau, merged, alpha=0.5, zero_diagonal=True), scale * expected)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.floats(0, 1))
def test_projection_is_orthogonally_equivariant_and_idempotent(seed: int, shape: tuple[int, int], alpha: float):
    merged, tau = randn(*shape, seed=seed), randn(*shape, seed=seed + 1)
    q = torch.linalg.qr(randn(shape[0], shape[0], seed=seed + 2))[0]
    cleaned = opcm.clean(tau, merged, alpha=alpha, zero_diagonal=True)
    assert (opcm.clean(q @ tau, q @ merged, alpha=alpha, zero_diagonal=True) - q @ cleaned).norm() <= 1e-6 * tau.norm()
    assert (opcm.clean(cleaned, merged, alpha=alpha, zero_diagonal=True) - cleaned).norm() <= 1e-6 * tau.norm()


def test_nothing_is_left_of_a_repeated_task():
    tau = randn(5, 8, seed=13)
    assert opcm.clean(2 * tau, tau, alpha=0.5, zero_diagonal=True).norm() <= 1e-9 * tau.norm()


def test_nothing_is_cleaned_before_anything_is_merged():
    tau = randn(5, 8, seed=14)
    assert torch.equal(opcm.clean(tau, torch.zeros_like(tau), alpha=0.5, zero_diagonal=True), tau)


def test_pairs_without_singular_value_keep_their_diagonal():
    merged, tau = randn(8, 8, seed=15, rank=3), randn(8, 8, seed=16)
    u, _, v = spectral.thin_svd(merged)
    outside_u, outside_v = tau - u @ (u.T @ tau), tau - (tau @ v) @ v.T
    cleaned = opcm.clean(tau, merged, alpha=0.5, zero_diagonal=True)
    assert close(cleaned - u @ (u.T @ cleaned), outside_u)
    assert close(cleaned - (cleaned @ v) @ v.T, outside_v)


def test_task_vectors_that_cancel_leave_the_base():
    bias = torch.ones(3)
    merger = ContinualMerger({"b": torch.zeros(3)}, "opcm", linear=[])
    merger.add({"b": bias}).add({"b": -bias})
    assert torch.equal(merger.merged()["b"], torch.zeros(3))
    assert merger.history["lambda"].iloc[-1] == 0
    assert torch.equal(merger.add({"b": bias}).merged()["b"], bias)
