"""Continual TIES-Merging: Yadav et al., arXiv 2306.01708 (trim, elect sign, disjoint merge)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from .registry import Context, Interval, method

_BINS = 1 << 16


class _Survey(NamedTuple):
    """What the steps of one model need to know of the whole model."""

    cut_merged: float  # smallest magnitude that is kept of M
    cut_task: float  # and of τ
    majority: float  # sign of the sum of all elected signs


def kth_magnitude(vectors: Iterable[Tensor], k: int) -> float:
    """The exact k-th smallest magnitude over all entries of ``vectors``.

    A radix selection. The bit patterns of non-negative floats are ordered like the floats themselves, so each pass over
    the tensors makes a histogram of the next 16 bits and fixes them. Float32 takes two passes, float64 four. Nothing is
    sorted or concatenated; the histogram takes 512 kB. (`torch.quantile` fails above 2²⁴ entries.)

    Args:
        vectors: tensors of any shape and one dtype, float32 or float64; iterated anew in every pass.
        k: 1-based, at most the number of entries.
    """
    prefix, shift, bits, dtype = 0, None, 32, torch.float32
    while shift is None or shift > 0:
        histogram = torch.zeros(_BINS, dtype=torch.int64)
        for vector in vectors:
            if shift is None:
                dtype = vector.dtype
                bits = 8 * dtype.itemsize
                shift = bits
            pattern = vector.abs().reshape(-1).view(torch.int64 if bits == 64 else torch.int32)
            if shift < bits:
                pattern = pattern[pattern >> shift == prefix]
            digit = (pattern >> (shift - 16)) & (_BINS - 1)
            histogram += torch.bincount(digit, minlength=_BINS).cpu()
        below = histogram.cumsum(0)
        digit = int(torch.searchsorted(below, k))
        k -= int(below[digit - 1]) if digit else 0
        prefix = prefix << 16 | digit
        shift -= 16
    return torch.tensor(prefix, dtype=torch.int64 if bits == 64 else torch.int32).view(dtype).item()


def _trim(vector: Tensor, cut: float) -> Tensor:
    """``vector`` with zeros where the magnitude is below ``cut``."""
    return vector.abs().ge_(cut).mul_(vector)  # torch.where takes five times as long


def _whole_model(pairs: Iterable[tuple[Tensor, Tensor]], ctx: Context, *, threshold: float, **_) -> _Survey | None:
    """Both thresholds and the majority, over all parameters; nothing for the first model.

    A threshold is the (d − int(d · share))-th smallest of d magnitudes, as in the published code.
    """
    if ctx.t == 1:
        return None
    share = threshold / 100 if threshold > 1 else threshold
    size = sum(merged.numel() for merged, _ in pairs)
    k = max(size - int(size * share), 1)
    cut_merged = kth_magnitude(_Column(pairs, 0), k)
    cut_task = kth_magnitude(_Column(pairs, 1), k)
    total = sum(int((_trim(m, cut_merged) + _trim(t, cut_task)).sign().sum()) for m, t in pairs)
    return _Survey(cut_merged, cut_task, float((total > 0) - (total < 0)))


class _Column:
    """One tensor of each pair; can be iterated several times."""

    def __init__(self, pairs: Iterable[tuple[Tensor, Tensor]], side: int):
        self.pairs, self.side = pairs, side

    def __iter__(self):
        return (pair[self.side] for pair in self.pairs)


@method(paper="https://arxiv.org/abs/2306.01708", survey=_whole_model)
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
