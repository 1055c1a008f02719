"""Continual TIES-Merging: Yadav et al., arXiv 2306.01708 (trim, elect sign, disjoint merge)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from .registry import Context, Interval, method


class _Survey(NamedTuple):
    """What the steps of one model need to know of the whole model."""

    cut_merged: float  # the largest magnitude that is trimmed from M
    cut_task: float  # and from τ
    majority: float  # sign of the sum of all elected signs; 0 where no entry asks for it


class Pairs(Protocol):
    """What a survey is given (`cmmlib.methods.registry.Method`)."""

    entries: int

    def map(self, function: Callable[[Tensor, Tensor], Any]) -> Iterable[Any]:
        """``function(merged, task_vector)`` for every parameter."""


_SAMPLE = 1 << 20


class _Compared(NamedTuple):
    """How many magnitudes are below an interval, not above its lower end and not above its upper end; and those between
    the ends (1-D)."""

    below: int
    to_low: int
    to_high: int
    between: Tensor


def _compared(vector: Tensor, low: float, high: float) -> _Compared:
    def mask(comparison: str, bound: float) -> Tensor:  # of ones and zeros: a boolean one takes torch five times as long
        return getattr(vector.abs(), comparison)(bound)

    below, to_low, to_high = _count(mask("lt_", low)), _count(mask("le_", low)), _count(mask("le_", high))
    if low == high:
        return _Compared(below, to_low, to_high, vector.new_empty(0))
    between = vector[mask("gt_", low).mul_(mask("lt_", high)).bool()]
    return _Compared(below, to_low, to_high, between.abs_())


def _count(mask: Tensor) -> int:
    """How many entries of a mask of ones and zeros are ones."""
    return int(mask.sum(dtype=torch.float64 if mask.numel() > 1 << 24 else None))  # float32 counts up to 2²⁴


def _ends(sample: Tensor, rank: int, margin: int) -> tuple[float, float]:
    """The magnitudes of a sample (n,) that are ``margin`` places before and behind a rank (from 1); open beyond the ends."""
    low, high = rank - margin, rank + margin
    return (
        sample.kthvalue(low).values.item() if low >= 1 else -1.0,
        sample.kthvalue(high).values.item() if high <= len(sample) else math.inf,
    )


def _kth(parts: list[_Compared], low: float, high: float, k: int) -> float | None:
    """The k-th smallest magnitude, if it lies in the interval."""
    below, to_low, to_high = (sum(counts) for counts in list(zip(*parts, strict=True))[:3])
    if not below < k <= to_high:
        return None
    if k <= to_low:
        return low
    between = torch.cat([part.between for part in parts])
    return between.kthvalue(k - to_low).values.item() if k <= to_low + len(between) else high


def _cancels(merged: Tensor, tau: Tensor, cut_merged: float, cut_task: float) -> bool:
    """Whether M and τ, not being zero or below these bounds, add up to zero somewhere."""
    total = merged + tau
    if _count(total.sign().abs_()) == total.numel():
        return False
    return bool(((total == 0) & (merged != 0) & (merged.abs() >= cut_merged) & (tau.abs() >= cut_task)).any())


def survey_magnitudes(pairs: Pairs, share: float) -> tuple[Tensor, Tensor, bool]:
    """The exact k-th smallest magnitudes (0-D) of M and of τ, over all entries of all parameters; k = d − int(d · share), at
    least 1, for d entries. And whether M and τ cancel somewhere that may not be trimmed.

    A sample of a million entries, taken in the first pass, gives an interval of some per mille around each. The second pass
    counts what is below it and keeps what is inside. An interval that misses is widened. (`torch.quantile` fails above 2²⁴
    entries.)
    """
    size = pairs.entries
    k = max(size - int(size * share), 1)
    every = max(size // _SAMPLE, 1) | 1  # odd, so as to meet all columns of usual widths
    drawn = pairs.map(lambda *pair: torch.stack([vector.reshape(-1)[::every] for vector in pair]).abs_())
    samples = torch.cat(list(drawn), dim=1)
    rank = max(k * samples.shape[1] // size, 1)
    margin = 0 if every == 1 else int(3 * math.sqrt(samples.shape[1]))  # at least six standard deviations
    while True:
        intervals = [_ends(sample, rank, margin) for sample in samples]
        compared, cancels = _compare_all(pairs, intervals)
        found = [_kth(parts, *ends, k) for parts, ends in zip(compared, intervals, strict=True)]
        if None not in found:
            return *samples.new_tensor(found).unbind(), cancels
        margin = 8 * margin + 1


def _compare_all(pairs: Pairs, intervals: list[tuple[float, float]]) -> tuple[list[list[_Compared]], bool]:
    """How M and τ lie to an interval each, in parts, and whether they cancel somewhere that may not be trimmed."""

    def compare(*pair: Tensor) -> tuple[list[_Compared], bool]:
        compared = [_compared(vector, *ends) for vector, ends in zip(pair, intervals, strict=True)]
        return compared, _cancels(*pair, *(low for low, _ in intervals))

    parts: list[list[_Compared]] = [[] for _ in intervals]
    any_cancels = False
    for compared, cancels in pairs.map(compare):
        for found, part in zip(parts, compared, strict=True):
            found.append(part)
        any_cancels |= cancels
    return parts, any_cancels


def _trim(vector: Tensor, cut: float) -> Tensor:
    """``vector`` with zeros where the magnitude is at most ``cut``."""
    return torch.hardshrink(vector, cut)  # a third of the time of a mask and a product; torch.where takes ten times that


def _whole_model(pairs: Pairs, ctx: Context, *, threshold: float, **_) -> _Survey | None:
    """Both thresholds and the majority, over all parameters; nothing for the first model.

    A threshold is the (d − int(d · share))-th smallest of d magnitudes, as in the published code. The majority is counted
    only where M and τ cancel somewhere.
    """
    if ctx.t == 1:
        return None
    *smallest, cancels = survey_magnitudes(pairs, threshold / 100 if threshold > 1 else threshold)
    cuts = [torch.nextafter(kept, kept.new_tensor(-math.inf)).item() for kept in smallest]
    signs = pairs.map(lambda merged, tau: (_trim(merged, cuts[0]) + _trim(tau, cuts[1])).sign()) if cancels else ()
    total = math.fsum(sign.sum(dtype=torch.float64).item() for sign in signs)
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
    if survey.majority:  # an entry whose sum is 0 takes the majority sign of the whole model, as in the published code
        sign.add_((sign == 0).to(sign.dtype), alpha=survey.majority)
    side = sign.sub(0.5).sign_()  # ±1
    kept = [(side * vector).clamp_(min=0) for vector in pair]  # magnitudes, zero where the sign is another
    if merge_func == "max":
        agreed = torch.maximum(*kept).mul_(sign)
    else:
        agreed = (kept[0] + kept[1]).mul_(side)
        if merge_func == "mean":
            agreed /= (kept[0].sign() + kept[1].sign()).clamp_(min=1)
    return torch.add(merged, agreed, alpha=scaling_factor)
