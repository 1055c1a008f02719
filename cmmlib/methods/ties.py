"""Continual TIES-Merging: Yadav et al., arXiv 2306.01708 (trim, elect sign, disjoint merge)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from .registry import Context, Interval, method


class _Survey(NamedTuple):
    """What the steps of one model need to know of the whole model."""

    cut_merged: float  # smallest magnitude that is kept of M
    cut_task: float  # and of τ
    majority: float  # sign of the sum of all elected signs


class Pairs(Protocol):
    """What a survey is given (`cmmlib.methods.registry.Method`)."""

    def map(self, function: Callable[[Tensor, Tensor], Any]) -> Iterable[Any]:
        """``function(merged, task_vector)`` for every parameter."""


_BINS = 1 << 16


def _bits(magnitudes: Tensor) -> Tensor:
    """The bit patterns of non-negative floats, which are ordered like the floats themselves."""
    return magnitudes.view(torch.int64 if magnitudes.dtype is torch.float64 else torch.int32)


def _histogram(vector: Tensor) -> tuple[Tensor, int]:
    """How many magnitudes have each value of their first 16 bits (65536,), and how many there are."""
    magnitudes = vector.abs().reshape(-1)
    digits = _bits(magnitudes) >> (8 * magnitudes.element_size() - 16)
    return torch.bincount(digits, minlength=_BINS), len(magnitudes)


def _within(vector: Tensor, digit: int) -> Tensor:
    """The magnitudes whose first 16 bits are ``digit`` (1-D)."""
    magnitudes = vector.abs().reshape(-1)
    return magnitudes[_bits(magnitudes) >> (8 * magnitudes.element_size() - 16) == digit]


def kth_magnitudes(pairs: Pairs, share: float) -> tuple[float, float]:
    """The exact k-th smallest magnitudes, over all entries of all parameters, of M and of τ; k = d − int(d · share), at
    least 1, for d entries.

    A radix selection in two passes: a histogram of the magnitudes' first 16 bits finds the bin that holds the k-th, and
    only that bin's entries, a per cent or so, are sorted. The histogram takes 512 kB. (`torch.quantile` fails above 2²⁴
    entries.)
    """
    counts = [torch.zeros(_BINS, dtype=torch.int64) for _ in "Mτ"]
    size = 0
    for histograms in pairs.map(lambda merged, tau: (_histogram(merged), _histogram(tau))):
        size += histograms[0][1]
        for count, (histogram, _) in zip(counts, histograms, strict=True):
            count += histogram.cpu()
    k = max(size - int(size * share), 1)
    below = [count.cumsum(0) for count in counts]
    digits = [int(torch.searchsorted(sums, k)) for sums in below]
    found: list[list[Tensor]] = [[], []]
    for candidates in pairs.map(lambda merged, tau: (_within(merged, digits[0]), _within(tau, digits[1]))):
        for kept, entries in zip(found, candidates, strict=True):
            kept.append(entries.clone())  # by this thread: what stays would pin the memory of those that compute
    ranks = [k - (int(sums[digit - 1]) if digit else 0) for sums, digit in zip(below, digits, strict=True)]
    first, second = (torch.cat(kept).kthvalue(rank).values.item() for kept, rank in zip(found, ranks, strict=True))
    return first, second


def _trim(vector: Tensor, cut: float) -> Tensor:
    """``vector`` with zeros where the magnitude is below ``cut``."""
    return vector.abs().ge_(cut).mul_(vector)  # torch.where takes five times as long


def _whole_model(pairs: Pairs, ctx: Context, *, threshold: float, **_) -> _Survey | None:
    """Both thresholds and the majority, over all parameters; nothing for the first model.

    A threshold is the (d − int(d · share))-th smallest of d magnitudes, as in the published code.
    """
    if ctx.t == 1:
        return None
    cuts = kth_magnitudes(pairs, threshold / 100 if threshold > 1 else threshold)
    total = sum(pairs.map(lambda merged, tau: int((_trim(merged, cuts[0]) + _trim(tau, cuts[1])).sign().sum())))
    return _Survey(*cuts, float((total > 0) - (total < 0)))


@method(paper="https://arxiv.org/abs/2306.01708", survey=_whole_model, elementwise=True)
def ties(
    merged: Tensor,
    task_vector: Tensor,
    ctx: Context,
    *,
    scaling_factor: float = 0.3,
    threshold: Annotated[float, Interval(0, 100, open=True)] = 20,
    merge_func: Literal["sum", "mean", "max"] = "sum",
) -> Tensor:
    """First model M ← λ τ; then M ← M + λ · TIES(M, τ). Any shape.

    TIES trims both vectors to their largest entries and elects the sign of the sum, entry by entry. It combines the
    values that have this sign.

    Args:
        scaling_factor: λ. Published: 0.3 for 8 tasks, 0.1 for 14 and 20.
        threshold: share of the whole model's entries that is kept in each of the two vectors. A value above 1 is in per
            cent, any other a fraction. Published: 20.
        merge_func: how the values with the elected sign are combined. Published: ``"sum"``.
    """
    if ctx.t == 1:
        return scaling_factor * task_vector
    survey: _Survey = ctx.survey
    pair = _trim(merged, survey.cut_merged), _trim(task_vector, survey.cut_task)
    sign = (pair[0] + pair[1]).sign_()
    # an entry whose sum is 0 takes the majority sign of the whole model, as in the published code
    sign.add_((sign == 0).to(sign.dtype), alpha=survey.majority)
    side = (sign > 0).to(sign.dtype).mul_(2).sub_(1)  # ±1
    kept = [(side * vector).clamp_(min=0) for vector in pair]  # magnitudes, zero where the sign is another
    if merge_func == "max":
        agreed = torch.maximum(*kept).mul_(sign)
    else:
        agreed = (kept[0] + kept[1]).mul_(side)
        if merge_func == "mean":
            agreed /= sum((vector > 0).to(sign.dtype) for vector in kept).clamp_(min=1)
    return torch.add(merged, agreed, alpha=scaling_factor)
