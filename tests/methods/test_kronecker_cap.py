"""Online Kronecker merging at the default cap: which of its exact cases are still exact, and which are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cmmlib.methods import get_method

from ..helpers import batch
from ..helpers.layers import close, merge_task_vectors, randn

WIDE = (16, 64)
RANK = 10
"""Of the 16 singular vectors so many are kept at the default cap of 0.6."""

DEFAULT, ONE_AND_ZERO = {}, {"input_power": 1.0, "output_power": 0.0}


def distance(taus: list[Tensor], **params: float) -> float:
    """How far the result is from that without a cap, as a share of its norm."""
    whole = merge_task_vectors("kronecker", taus, cap=100, **params)
    return ((merge_task_vectors("kronecker", taus, **params) - whole).norm() / whole.norm()).item()


def white(count: int) -> list[Tensor]:
    return [randn(*WIDE, seed=i) for i in range(count)]


def transposed(taus: list[Tensor], turned: bool) -> list[Tensor]:
    return [tau.T for tau in taus] if turned else taus


turned = pytest.mark.parametrize("turned", [False, True], ids=["wide", "tall"])


def test_the_rank_is_what_these_tests_take_it_for():
    assert round(get_method("kronecker").defaults["cap"] * WIDE[0]) == RANK < WIDE[0]


@turned
@pytest.mark.parametrize("params", [DEFAULT, ONE_AND_ZERO], ids=["default", "(1, 0)"])
def test_a_single_model_and_identical_ones_still_come_back(turned: bool, params: dict[str, float]):
    (tau,) = transposed(white(1), turned)
    for count in (1, 2, 5):
        assert close(merge_task_vectors("kronecker", [tau] * count, **params), tau)


@turned
@pytest.mark.parametrize("params", [DEFAULT, {"input_power": 0.5, "output_power": 0.5}], ids=["default", "(0.5, 0.5)"])
def test_nothing_is_cut_where_the_directions_of_all_but_the_last_model_fit(turned: bool, params: dict[str, float]):
    spread = [randn(*WIDE, seed=i, rank=rank) for i, rank in enumerate((4, 3, 3, RANK))]  # 10 before the last, of 10
    common = torch.linalg.qr(randn(64, RANK, seed=9)).Q.T
    shared = [randn(16, RANK, seed=i) @ common for i in range(5)]  # all in the same 10
    for taus in (spread, shared):
        assert distance(transposed(taus, turned), **params) <= 1e-10
    one_more = [*spread[:3], randn(*WIDE, seed=4, rank=1), spread[3]]  # 11 before the last
    assert 0.02 < distance(transposed(one_more, turned), **params) < 0.2


@turned
def test_nothing_is_cut_where_the_power_of_the_large_side_is_zero(turned: bool):
    power = "output_power" if turned else "input_power"
    assert distance(transposed(white(4), turned), **{power: 0.0}) <= 1e-10


@turned
@pytest.mark.parametrize(("count", "least", "most"), [(2, 0.3, 0.75), (3, 0.6, 0.95), (5, 0.7, 1.0)])
def test_white_task_vectors_lose_much_of_their_sum(turned: bool, count: int, least: float, most: float):
    assert least < distance(transposed(white(count), turned)) < most


def test_two_white_models_do_not_give_the_minimiser_for_both():
    taus = white(2)
    both = batch.kronecker_at_once(taus, 0.75, 0.25, 1e-3)
    assert 0.3 < (merge_task_vectors("kronecker", taus) - both).norm() / both.norm() < 0.75


def test_with_powers_one_and_zero_it_is_still_wudi_on_tall_weights_but_not_on_wide_ones_where_the_order_counts():
    taus = white(4)
    tall = transposed(taus, True)
    for order in (tall, tall[::-1]):
        assert close(merge_task_vectors("kronecker", order, **ONE_AND_ZERO), batch.wudi(tall, 1e-3, "models"), rel=1e-7)
    wudi = batch.wudi(taus, 1e-3, "models")
    there, back = (merge_task_vectors("kronecker", order, **ONE_AND_ZERO) for order in (taus, taus[::-1]))
    assert 0.6 < (there - wudi).norm() / wudi.norm() < 1.0
    assert 0.15 < (back - there).norm() / there.norm() < 0.7
