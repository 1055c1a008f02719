"""Online Kronecker merging: the cases that are exact, its linear system, and the nearest Kronecker product."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cmmlib import ContinualMerger, get_method
from cmmlib.methods import Context
from cmmlib.methods.kronecker import gram_of, nearest_product, power_factor, product_mean
from cmmlib.methods.packed import unpack
from cmmlib.methods.spectral import thin_svd

from ..helpers import batch
from ..helpers.layers import SHAPES, close, f64, merge_task_vectors, randn

POWERS = [(0.75, 0.25), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]


def options(powers: tuple[float, float], ridge: float = 1e-3) -> dict[str, float]:
    return {"input_power": powers[0], "output_power": powers[1], "ridge": ridge}


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
    assert (x >= 0).all() and (y >= 0).all()
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
        g, a = batch.kronecker_precisions(tau, 0.75, 0.25, 1e-3)
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
