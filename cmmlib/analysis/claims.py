"""What was expected of differences between rows, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd


class Claim(NamedTuple):
    """That a row's ACC minus another's lies between two numbers, in points.

    Attributes:
        text: the claim in words.
        row, other: labels.
        low, high: ends of the range that was claimed.
    """

    text: str
    row: str
    other: str
    low: float
    high: float


def checked_claims(measured: pd.DataFrame, claims: Iterable[Claim], where: Sequence[str]) -> pd.DataFrame:
    """Every claim where both of its rows were measured.

    Args:
        measured: one run per row: columns ``label``, ``seed`` (of its order), ``acc`` and those of ``where``.
        where: columns within which rows are compared, such as ``backbone`` and ``num_tasks``.

    Returns:
        The columns ``claim``, those of ``where``, ``difference`` (the mean over the orders that both rows have), ``orders``
        (how many these are), ``low``, ``high`` (in points, as the difference is) and ``holds``.
    """
    where = list(where)
    places = measured[where].drop_duplicates()  # in the order in which they come
    table = measured.set_index([*where, "seed", "label"])["acc"].unstack("label")
    parts = []
    for claim in claims:
        if {claim.row, claim.other} <= set(table):
            by_order = (table[claim.row] - table[claim.other]).dropna().groupby(where)
            found = places.merge(by_order.agg(difference="mean", orders="size").reset_index())
            parts.append(found.assign(claim=claim.text, low=claim.low, high=claim.high))
    columns = ["claim", *where, "difference", "orders", "low", "high"]
    found = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return found.assign(holds=found["difference"].between(found["low"], found["high"]))


def claim_verdicts(checked: pd.DataFrame) -> pd.DataFrame:
    """`checked_claims` in a row per claim: the range that was claimed, that which was measured, and a verdict.

    A claim is "confirmed" where it holds everywhere, "refuted" where it holds nowhere, and else "in part".
    """
    groups = checked.groupby("claim", sort=False)
    table = groups.agg(
        low=("low", "first"),
        high=("high", "first"),
        smallest=("difference", "min"),
        mean=("difference", "mean"),
        largest=("difference", "max"),
        holds=("holds", "sum"),
        of=("holds", "size"),
    )
    everywhere, nowhere = table["holds"] == table["of"], table["holds"] == 0
    return table.assign(verdict=np.select([everywhere, nowhere], ["confirmed", "refuted"], "in part"))
