"""Running weight average: the mean of the task vectors, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmmlib import get_method

from ..helpers.layers import merge_task_vectors, randn


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True), st.data())
def test_result_is_the_mean_of_the_task_vectors_in_any_order(seeds: list[int], data: st.DataObject):
    taus = [randn(3, 4, seed=seed) for seed in seeds]
    shuffled = data.draw(st.permutations(taus))
    expected = sum(taus) / len(taus)
    assert get_method("weight_average").order_free
    for order in (taus, shuffled):
        assert (merge_task_vectors("weight_average", order) - expected).norm() <= 1e-12 * max(tau.norm() for tau in taus)
