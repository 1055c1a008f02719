"""Continual TIES-Merging: Yadav et al., arXiv 2306.01708 (trim, elect sign, disjoint merge)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from .registry import Context, Interval, method

_BINS = 1 << 16


class _Survey(NamedTuple):
    cut_merged: float
    cut_task: float
    majority: float  # sign of the sum of all elected signs


def kth_magnitude(vectors: Iterable[Tensor], k: int) -> float:
    """The k-th smallest magnitude (1-based) over all entries of ``vectors``, exactly.

    A radix selection: the bit patterns of non-negative floats are ordered like the floats, so each pass over the
    tensors fixes 16 more bits from a histogram.  Nothing is sorted or concatenated (`torch.quantile` fails above
    2²⁴ entries): two passes for float32, four for float64, and 512 kB of memory.  ``vectors`` is iterated anew in
    every pass.
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
    return vector.abs().ge_(cut).mul_(vector)  # torch.where takes five times as long


def _whole_model(pairs: Iterable[tuple[Tensor, Tensor]], ctx: Context, *, threshold: float, **_) -> _Survey | None:
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
    """One side of the pairs, re-iterable."""

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
    """First step M ← λ τ; then M ← M + λ · TIES(M, τ).  Any shape.

    Args:
        scaling_factor: λ; published settings are 0.3 for 8 tasks, 0.1 for 14 and 20.
        threshold: share of entries kept in each of the two vectors, over the whole model: per cent above 1, else a
            fraction (published: 20).
        merge_func: how entries that agree with the elected sign are combined.
    """
    if ctx.t == 1:
        return scaling_factor * task_vector
    survey: _Survey = ctx.survey
    pair = _trim(merged, survey.cut_merged), _trim(task_vector, survey.cut_task)
    sign = (pair[0] + pair[1]).sign_()
    # an undecided entry takes the sign of the majority of the whole model, as the published code does
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
