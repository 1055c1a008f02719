"""Measured numbers beside those of the reference run, which are committed as CSV files."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .runs import RUN


def with_reference(measured: pd.DataFrame, reference: pd.DataFrame, on: Sequence[str] = RUN) -> pd.DataFrame:
    """The rows that both frames have, in the order of ``measured``.

    Rows of one frame alone are left out: the reference run may have fewer orders, or more.

    Args:
        measured: a frame as a notebook has it.
        reference: the same frame as the reference run saved it, read from its CSV file.
        on: the columns that tell one row from another.  They are compared as they are printed to six digits, so that a
            column may hold numbers and names, and a blank equals a blank.

    Returns:
        The columns of ``measured``.  Each further column that both have occurs once more, with ``_reference`` appended.
    """
    on = list(on)
    rest = [column for column in reference if column in measured and column not in on]
    theirs = reference[rest].add_suffix("_reference").set_axis(_keys(reference, on))
    ours = measured.set_axis(_keys(measured, on))
    return ours.join(theirs, how="inner").reset_index(drop=True)


def differing(both: pd.DataFrame, **tolerances: float) -> pd.DataFrame:
    """The rows of `with_reference` in which a column is further from the reference than is tolerated.

    A number on one side and a blank on the other differ too.

    Args:
        tolerances: column → the largest difference that is no difference, in the column's unit.
    """
    off = pd.Series(False, index=both.index)
    for column, tolerance in tolerances.items():
        ours, theirs = both[column], both[f"{column}_reference"]
        off |= ~((ours - theirs).abs() <= tolerance) & (ours.notna() | theirs.notna())
    return both[off]


def _keys(frame: pd.DataFrame, on: list[str]) -> pd.Index:
    return pd.Index([tuple(map(_printed, row)) for row in frame[on].itertuples(index=False)], tupleize_cols=False)


def _printed(value: object) -> str:
    """A key as text: a number is the same however it was written, and a blank is "" whatever stands for it."""
    if value is None or value != value:  # NaN
        return ""
    try:
        return f"{float(str(value)):.6g}"
    except ValueError:
        return str(value)
