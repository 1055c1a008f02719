"""TIES-Merging: against the sorted vector of the whole model, the undecided entries, the selection of a magnitude."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cmmlib import ContinualMerger
from cmmlib.methods import Context, ties

from ..helpers.layers import f64, merge_task_vectors, randn


def plain_ties(merged: Tensor, tau: Tensor, share: float, merge_func: str) -> Tensor:
    """TIES on two vectors of d entries, sorted whole."""
    d = len(tau)
    rows = []
    for vector in (merged, tau):
        cut = vector.abs().sort().values[max(d - int(d * share), 1) - 1]
        rows.append(torch.where(vector.abs() >= cut, vector, torch.zeros_like(vector)))
    trimmed = torch.stack(rows)
    sign = trimmed.sum(0).sign()
    sign[sign == 0] = sign.sum().sign()
    agree = torch.where(torch.where(sign > 0, trimmed > 0, trimmed < 0), trimmed, torch.zeros_like(trimmed))
    if merge_func == "max":
        return agree.abs().max(0).values * sign
    if merge_func == "mean":
        return agree.sum(0) / (agree != 0).sum(0).clamp(min=1)
    return agree.sum(0)


@pytest.mark.parametrize("ties_in_magnitude", [False, True])
@pytest.mark.parametrize("merge_func", ["sum", "mean", "max"])
@pytest.mark.parametrize("threshold", [20, 0.2, 55.5, 1, 100, 0.001])
def test_ties_equals_the_sorted_vector_form(threshold: float, merge_func: str, ties_in_magnitude: bool):
    shapes = {"a": (7, 5), "b": (11,), "c": ()}
    models = [
        {key: randn(*shape, seed=seed + i) for i, (key, shape) in enumerate(shapes.items())} for seed in (0, 9, 18, 27)
    ]
    if ties_in_magnitude:
        models = [{key: x.round() for key, x in model.items()} for model in models]
    base = {key: torch.zeros(shape, dtype=f64) for key, shape in shapes.items()}
    merger = ContinualMerger(base, "ties", scaling_factor=0.4, threshold=threshold, merge_func=merge_func)
    expected = 0.0
    for t, model in enumerate(models):
        merger.add(model)
        tau = torch.cat([model[key].reshape(-1) for key in shapes])
        share = threshold / 100 if threshold > 1 else threshold
        expected = 0.4 * tau if t == 0 else expected + 0.4 * plain_ties(expected, tau, share, merge_func)
        merged = torch.cat([merger.merged()[key].reshape(-1) for key in shapes])
        assert (merged - expected).norm() <= 1e-12 * expected.norm()


@pytest.mark.parametrize("last", [5.0, -9.0])
def test_ties_gives_undecided_entries_the_sign_of_the_majority(last: float):
    taus = [torch.tensor([1.0, -2, 3, 5]), torch.tensor([-1.0, 2, 4, last])]
    merged = merge_task_vectors("ties", taus, scaling_factor=1, threshold=100)
    by_hand = taus[0] + plain_ties(*taus, 1.0, "sum")
    assert torch.equal(merged, by_hand)
    if last > 0:  # entries 0 and 1 cancel; the other two elect plus, so that their positive sides are added
        assert merged.tolist() == [2, 0, 10, 15]


class Twice:
    """Each vector as M and, with its signs turned, as τ."""

    def __init__(self, vectors: Sequence[Tensor]):
        self.vectors = vectors
        self.entries = sum(vector.numel() for vector in vectors)

    def map(self, function: Callable[[Tensor, Tensor], Any]) -> Iterator[Any]:
        return (function(vector, -vector) for vector in self.vectors)


@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 1e-40, -3e38, 0.1]), max_size=6), min_size=1, max_size=4),
    st.sampled_from([torch.float32, f64]),
    st.sampled_from([3, 1 << 20]),
    st.data(),
)
def test_kth_magnitude_is_that_of_the_sorted_vector(
    lists: list[list[float]], dtype: torch.dtype, sample: int, data: st.DataObject
):
    vectors = [torch.tensor(values, dtype=dtype) for values in lists]
    whole = torch.cat(vectors).abs().sort().values
    if len(whole):
        share = data.draw(st.floats(0, 1))
        k = max(len(whole) - int(len(whole) * share), 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ties, "_SAMPLE", sample)
            assert ties.survey_magnitudes(Twice(vectors), share)[:2] == (whole[k - 1],) * 2


@pytest.mark.parametrize("sample", [200, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_kth_magnitude_of_many_close_values(dtype: torch.dtype, sample: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ties, "_SAMPLE", sample)
    values = (1 + randn(20000, seed=0) * 1e-6).to(dtype)
    whole = values.abs().sort().values
    for k in (1, 2, 9999, 16000, 20000):
        share = (20000 - k + 0.5) / 20000
        assert ties.survey_magnitudes(Twice(values.split(3000)), share)[:2] == (whole[k - 1],) * 2


def test_kth_magnitude_of_which_the_sample_knows_nothing(monkeypatch: pytest.MonkeyPatch):
    """Half of all entries are zero but for those that the sample takes; the interval has to grow."""
    monkeypatch.setattr(ties, "_SAMPLE", 1000)
    values = torch.where(
        torch.arange(100_000) % 101 == 0, randn(100_000, seed=1).float() + 10, randn(100_000, seed=2).float()
    )
    values[50_000:][torch.arange(50_000) % 101 != 49] = 0
    passes = Twice([values])
    calls = []
    passes.map = lambda function: calls.append(1) or Twice.map(passes, function)  # type: ignore[method-assign]
    whole = values.abs().sort().values
    assert ties.survey_magnitudes(passes, 0.2)[:2] == (whole[80_000 - 1],) * 2
    assert len(calls) > 2


def test_the_majority_is_counted_only_where_entries_cancel():
    def survey(merged: Tensor, tau: Tensor) -> tuple[float, int]:
        calls = []

        class Pairs:
            entries = len(merged)

            def map(self, function: Callable[[Tensor, Tensor], Any]) -> list[Any]:
                calls.append(1)
                return [function(merged, tau)]

        found = ties._whole_model(Pairs(), Context(2), threshold=100)
        assert found is not None
        return found.majority, len(calls)

    merged = torch.tensor([1.0, 0.0, -3.0, 2.0])
    assert survey(merged, torch.tensor([1.0, 0.0, -3.0, 2.0])) == (0, 2)
    assert survey(merged, torch.tensor([-1.0, 0.0, -3.0, -4.0])) == (-1, 3)
