"""Which rows are read for a limit on the number of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ..suite import evenly_spaced
from .contents import Group

BUDGET = 32_000_000
"""Bytes of images that a limited test set may fetch, where that leaves it enough row groups for its rows."""

LIMIT_RULE = f"evenly spaced row groups of at most {BUDGET} bytes, evenly spaced rows"

Chosen = list[tuple[Group, list[int] | None]]
"""Groups to read, each with the rows to keep, counted from the group's first; None for all."""


def chosen_rows(groups: Sequence[Group], limit: int | None) -> Chosen:
    """The rows of a split that a limit leaves.

    A row group is the least that can be fetched.  So these are evenly spaced too: as many as `BUDGET` holds, at most one
    for each row, and enough for all rows.  The rows are then evenly spaced in the chosen groups taken together.

    Args:
        limit: the largest number of rows; None for all.
    """
    groups = [group for group in groups if group.rows]
    if limit is None or sum(group.rows for group in groups) <= limit:
        return [(group, None) for group in groups]
    some: list[Group] = []
    for count in range(min(len(groups), limit), 0, -1):
        fewer = [groups[i] for i in evenly_spaced(len(groups), count)]
        if some and sum(group.rows for group in fewer) < limit:
            break
        some = fewer
        if sum(group.size for group in some) <= BUDGET:
            break
    if sum(group.rows for group in some) < limit:  # groups of unequal length
        some = groups
    starts = [0, *accumulate(group.rows for group in some)]
    rows = evenly_spaced(starts[-1], limit)
    kept = [
        (group, [row - start for row in rows if start <= row < stop])
        for group, start, stop in zip(some, starts, starts[1:], strict=False)
    ]
    return [(group, inside) for group, inside in kept if inside]


def described(task: str, groups: Sequence[Group], chosen: Chosen) -> str:
    """A line on which rows were chosen, counted from the split's first, and how many bytes they cost."""
    starts = dict(zip(map(id, groups), accumulate((group.rows for group in groups), initial=0), strict=False))
    rows = [starts[id(group)] + row for group, kept in chosen for row in (range(group.rows) if kept is None else kept)]
    shown = [f"{row:,}" for row in (rows if len(rows) <= 4 else [*rows[:3], rows[-1]])]
    if len(rows) > 4:
        shown.insert(3, "…")
    return (
        f"{task}: {len(rows):,} of {sum(group.rows for group in groups):,} images, rows {' '.join(shown)}, "
        f"in {len(chosen)} of {len(groups)} row groups ({sum(group.size for group, _ in chosen) / 1e6:.1f} MB)"
    )
