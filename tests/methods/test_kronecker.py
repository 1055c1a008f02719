"""Online Kronecker merging: the cases that are exact, its linear system, and the nearest Kronecker product."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, get_method
from cmmlib.methods import Context
from cmmlib.methods.kronecker_algebra import gram_of, nearest_product, power_factor, product_mean, spectrum_of
from cmmlib.methods.kronecker_capped import Capped, basis_of_both, capped_step, cut, leading
from cmmlib.methods.packed import unpack
from cmmlib.methods.spectral import thin_svd

from ..helpers import batch
from ..helpers.layers import SHAPES, close, f64, merge_task_vectors, randn

POWERS = [(0.75, 0.25), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]


def options(powers: tuple[float, float], ridge: float = 1e-3) -> dict[str, float]:
    return {"input_power": powers[0], "output_power": powers[1], "ridge": ridge, "cap": 100}  # no cap


def capped_factor(n: int, rank: int, seed: int) -> Capped:
    vectors = torch.linalg.qr(randn(n, rank, seed=seed)).Q
    return Capped(vectors, 1 + torch.arange(rank, 0, -1, dtype=f64), 0.3)


def spd(n: int, seed: int) -> Tensor:
    half = randn(n, n, seed=seed)
    return half @ half.T + 0.1 * torch.eye(n, dtype=f64)


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_identical_models_come_back(powers: tuple[float, float], shape: tuple[int, int]):
    tau = randn(*shape, seed=0)
    assert close(merge_task_vectors("kronecker", [tau] * 3, **options(powers)), tau)


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4)])
def test_two_models_give_the_minimiser_for_both(powers: tuple[float, float], shape: tuple[int, int]):
    taus = [randn(*shape, seed=i) for i in range(2)]
    ridge = 1e-2
    assert close(
        merge_task_vectors("kronecker", taus, **options(powers, ridge)), batch.kronecker_at_once(taus, *powers, ridge), 1e-8
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_with_powers_one_and_zero_it_is_wudi_that_pulls_towards_the_models_whatever_the_order(shape: tuple[int, int]):
    taus = [randn(*shape, seed=i) for i in range(4)]
    expected = batch.wudi(taus, 1e-3, "models")
    for order in (taus, taus[::-1]):
        assert close(merge_task_vectors("kronecker", order, **options((1, 0))), expected, rel=1e-7)
        assert close(merge_task_vectors("wudi", order, pull="models"), expected, rel=1e-7)


@pytest.mark.parametrize("convolution", [True, False])
def test_with_powers_one_and_zero_a_whole_model_is_that_of_wudi_in_any_order(convolution: bool):
    layers = [torch.nn.Conv2d(2, 5, 3), torch.nn.GroupNorm(1, 5), torch.nn.Linear(5, 9), torch.nn.Linear(9, 4, bias=False)]
    base = torch.nn.Sequential(*layers, torch.nn.Embedding(6, 3)).double()
    start = base.state_dict()
    models = [{name: x + 0.1 * randn(*x.shape, seed=i) for name, x in start.items()} for i in range(4)]
    wudi = cmmlib.merge(base, models, method="wudi", pull="models", ridge=1e-2, convolution=convolution)
    for order in (models, [models[2], models[0], models[3], models[1]]):
        ours = cmmlib.merge(base, order, method="kronecker", convolution=convolution, **options((1, 0), ridge=1e-2))
        assert ours.keys() == wudi.keys() == start.keys()
        assert all(close(ours[name] - start[name], wudi[name] - start[name]) for name in start)
    averaged = {name for name in start if close(ours[name], sum(model[name] for model in models) / 4)}
    assert start.keys() - averaged == {"2.weight", "3.weight"} | ({"0.weight"} if convolution else set())


@pytest.mark.parametrize("powers", POWERS[:3])
def test_two_task_vectors_that_are_orthogonal_on_both_sides_add_up_as_the_ridge_goes_to_zero(powers: tuple[float, float]):
    u, v = (torch.linalg.qr(randn(6, 6, seed=seed)).Q for seed in (0, 1))
    taus = [u[:, :3] * torch.tensor([3.0, 2.0, 1.0]) @ v[:, :3].T, u[:, 3:] * torch.tensor([1.0, 2.0, 1.0]) @ v[:, 3:].T]
    distances = [
        (merge_task_vectors("kronecker", taus, **options(powers, ridge)) - sum(taus)).norm().item()
        for ridge in (1e-2, 1e-3, 1e-4)
    ]
    assert batch.falls(distances) and distances[-1] < 2e-3


@given(st.integers(0, 10**6), st.sampled_from([(5, 5), (3, 8), (8, 3), (1, 4)]))
def test_the_mean_solves_its_linear_system(seed: int, shape: tuple[int, int]):
    m, n = shape
    g, g_new, a, a_new = spd(m, seed), spd(m, seed + 1), spd(n, seed + 2), spd(n, seed + 3)
    x, tau = randn(m, n, seed=seed + 4), randn(m, n, seed=seed + 5)
    mean = product_mean(x, tau, (g, g_new), (a, a_new))
    size = g.norm() * x.norm() * a.norm() + g_new.norm() * tau.norm() * a_new.norm()
    assert (g @ (mean - x) @ a + g_new @ (mean - tau) @ a_new).norm() <= 1e-11 * size


@given(st.integers(0, 10**6), st.floats(-3, 3))
def test_the_product_is_the_nearest_one(seed: int, log_scale: float):
    g, g_new, a, a_new = spd(3, seed), 10**log_scale * spd(3, seed + 1), spd(4, seed + 2), spd(4, seed + 3)
    x, y = nearest_product(gram_of(g, g_new), gram_of(a, a_new))
    product = torch.kron(x[0] * g + x[1] * g_new, y[0] * a + y[1] * a_new)
    rearranged = torch.outer(g.flatten(), a.flatten()) + torch.outer(g_new.flatten(), a_new.flatten())
    u, s, vt = torch.linalg.svd(rearranged)
    nearest = torch.kron((s[0] * u[:, 0]).view(3, 3), vt[0].view(4, 4))
    assert close(product, nearest, rel=1e-9)


def test_products_of_factors_that_are_multiples_of_each_other_are_kept_as_they_are():
    g, a = spd(3, 0), spd(4, 1)
    x, y = nearest_product(gram_of(g, 2 * g), gram_of(a, a))
    assert close((x[0] + 2 * x[1]) * (y[0] + y[1]) * torch.kron(g, a), 3 * torch.kron(g, a))


@pytest.mark.parametrize("powers", POWERS)
def test_the_factors_are_those_of_full_matrices(powers: tuple[float, float]):
    tau = randn(4, 7, seed=0)
    u, s, v = thin_svd(tau)
    g, a = batch.kronecker_precisions(tau, *powers, 1e-2)
    assert close(power_factor(v, s**2, powers[0], 1e-2), a)
    assert close(power_factor(u, s**2, powers[1], 1e-2), g)


def test_the_state_counts_the_models_and_does_not_grow():
    tau = randn(6, 8, seed=0)
    merger = ContinualMerger({"w": torch.zeros(6, 8, dtype=f64)}, "kronecker", linear=["w"])
    sizes = []
    for count in (1, 2, 3):
        kept = merger.add({"w": tau}).standing.accumulated["w"]
        g, a = batch.kronecker_precisions(tau, 0.75, 0.25, 1e-3)  # 8 is less than twice 6: no cap
        assert close(torch.kron(unpack(kept["g"]), unpack(kept["a"])), count * torch.kron(g, a), rel=1e-7)
        sizes.append(sum(part.numel() for part in kept.values()))
    assert sizes == [6 * 8 + 6 * 7 // 2 + 8 * 9 // 2] * 3


def test_a_task_vector_of_zero_counts_for_nothing():
    tau, zero = randn(4, 5, seed=0), torch.zeros(4, 5, dtype=f64)
    step = get_method("kronecker").step
    params = get_method("kronecker").defaults

    def kept(taus: list[Tensor]) -> dict[str, Tensor]:
        state: Tensor | dict[str, Tensor] = zero
        for t, each in enumerate(taus, 1):
            state = step(state, each, Context(t, kind="linear"), **params)
        return state

    alone = kept([tau])
    for order in ([zero, tau], [tau, zero], [zero, zero, tau, zero]):
        assert all(torch.equal(kept(order)[part], alone[part]) for part in alone)
    assert not kept([zero])["x"].any()


@pytest.mark.parametrize("powers", POWERS)
@pytest.mark.parametrize("overlap", [False, True])
def test_a_capped_step_is_the_dense_step_from_the_same_state_then_cut(powers: tuple[float, float], overlap: bool):
    m, n, rank = 4, 19, 5
    tau, x, a = randn(m, n, seed=0), randn(m, n, seed=1), capped_factor(n, rank, 2)
    svd = thin_svd(tau)
    if overlap:  # some of the new directions are old ones
        a = a._replace(vectors=torch.linalg.qr(torch.cat([svd.v[:, :2], a.vectors[:, :3]], 1)).Q)
    g = spd(m, 3), power_factor(svd.u, svd.s**2, powers[1], 1e-2)
    excess, rest = spectrum_of(svd.s**2, n, powers[0], 1e-2)
    mean, new_g, factor = capped_step(x, tau, g, a, svd.v, excess, rest, rank)
    a_new = power_factor(svd.v, svd.s**2, powers[0], 1e-2)
    assert close(mean, product_mean(x, tau, g, (a.dense(), a_new)), rel=1e-8)
    c, d = nearest_product(gram_of(*g), gram_of(a.dense(), a_new))
    assert close(new_g, c[0] * g[0] + c[1] * g[1])
    whole = d[0] * a.dense() + d[1] * a_new
    values, vectors = torch.linalg.eigh(whole)
    expected = Capped(vectors[:, -rank:], values[-rank:], (values[:-rank].sum() / (n - rank)).item()).dense()
    assert close(factor.dense(), expected, rel=1e-8)
    assert factor.dense().trace() == pytest.approx(whole.trace())


def test_a_new_factor_that_is_cut_keeps_its_trace_and_the_step_is_the_dense_one_with_it():
    m, n, rank = 4, 19, 2
    tau, x, a, g = randn(m, n, seed=0), randn(m, n, seed=1), capped_factor(n, 5, 2), (spd(m, 3), spd(m, 4))
    _, s, v = thin_svd(tau)
    whole = spectrum_of(s**2, n, 0.75, 1e-2)
    excess, rest = leading(*whole, n, rank)
    assert excess.sum() + n * rest == pytest.approx(whole[0].sum() + n * whole[1])
    assert close(excess + rest, whole[0][:rank] + whole[1])
    a_new = Capped(v[:, :rank], excess + rest, rest)
    mean, _, _ = capped_step(x, tau, g, a, a_new.vectors, excess, rest, rank)
    assert close(mean, product_mean(x, tau, g, (a.dense(), a_new.dense())), rel=1e-8)


def test_a_square_merge_in_float32_is_that_in_float64_to_a_thousandth():
    taus = [(randn(48, 48, seed=i) * torch.logspace(0, -3, 48, dtype=f64)).float() for i in range(6)]
    merger = ContinualMerger({"w": torch.zeros(48, 48)}, "kronecker", linear=["w"])
    for tau in taus:
        merger.add({"w": tau})
    wide = merge_task_vectors("kronecker", [tau.double() for tau in taus])
    assert close(merger.merged()["w"].double(), wide, rel=1e-3)


def test_a_factor_that_fits_is_not_changed_by_the_cut():
    a = capped_factor(9, 3, 0)
    again = cut(a.vectors, torch.diag(a.values), a.rest, 3)
    assert close(again.dense(), a.dense()) and again.rest == pytest.approx(a.rest)


@given(st.integers(0, 10**6), st.floats(-9, 0))
def test_the_basis_is_orthonormal_and_holds_both_spans(seed: int, log_distance: float):
    w = torch.linalg.qr(randn(12, 4, seed=seed)).Q
    v = torch.linalg.qr(w[:, :3] + 10**log_distance * randn(12, 3, seed=seed + 1)).Q
    q, seen = basis_of_both(w, v)
    assert (q.T @ q - torch.eye(q.shape[1], dtype=f64)).norm() <= 1e-8
    assert (v - q @ (q.T @ v)).norm() <= 2e-6 and torch.equal(q[:, :4], w)
    assert (q.T @ v - seen).norm() <= 1e-8


@pytest.mark.parametrize("shape", [(4, 20), (20, 4), (3, 30)])
def test_a_capped_weight_keeps_a_single_model_and_identical_ones_and_its_state_is_small(shape: tuple[int, int]):
    tau, small = randn(*shape, seed=0), min(shape)
    merger = ContinualMerger({"w": torch.zeros(shape, dtype=f64)}, "kronecker", linear=["w"])
    for _ in range(3):
        kept = merger.add({"w": tau}).standing.accumulated["w"]
        assert close(merger.merged()["w"], tau)
        assert sum(part.numel() for part in kept.values()) <= 2 * tau.numel() + small * (small + 1) // 2 + small + 1


@pytest.mark.parametrize("shape", [(4, 20), (20, 4)])
def test_with_a_cap_that_leaves_nothing_out_nothing_changes(shape: tuple[int, int]):
    taus = [randn(*shape, seed=i) for i in range(4)]  # 16 directions, of which a cap of 3.5 keeps 14
    whole = merge_task_vectors("kronecker", taus, cap=100)
    assert close(
        merge_task_vectors("kronecker", taus[:3], cap=3.5), merge_task_vectors("kronecker", taus[:3], cap=100), 1e-7
    )
    distances = [(merge_task_vectors("kronecker", taus, cap=cap) - whole).norm().item() for cap in (1.0, 2.0, 3.0)]
    assert batch.falls(distances)


def test_both_orientations_of_a_wide_weight_are_one():
    taus = [randn(4, 20, seed=i) for i in range(4)]
    there = merge_task_vectors("kronecker", taus, input_power=0.7, output_power=0.2)
    back = merge_task_vectors("kronecker", [tau.T for tau in taus], input_power=0.2, output_power=0.7)
    assert close(there, back.T)


def test_in_float32_a_capped_merge_is_that_in_float64_to_a_thousandth():
    # task vectors that share most of their directions, as those of one base do
    common = torch.linalg.qr(randn(40, 16, seed=9)).Q.T
    taus = [(randn(8, 16, seed=i) @ common + 0.1 * randn(8, 40, seed=20 + i)).float() for i in range(5)]
    merger = ContinualMerger({"w": torch.zeros(8, 40)}, "kronecker", linear=["w"])
    for tau in taus:
        merger.add({"w": tau})
    wide = merge_task_vectors("kronecker", [tau.double() for tau in taus])
    assert close(merger.merged()["w"].double(), wide, rel=1e-3)
