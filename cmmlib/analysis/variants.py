"""Which of several choices matter: variants that depart from the leads, and what each lead gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

Choices = Mapping[str, Sequence[Any]]
"""Choice → its values.  The first value is the lead; the others are the alternatives."""


def departures(choices: Choices, cross: Sequence[Sequence[str]] = ()) -> list[dict[str, Any]]:
    """The combinations that depart from the leads in at most one choice.

    Args:
        choices: the values of every choice, the lead first.
        cross: groups of choices.  Combinations that depart in any choices of one group are included, too.
    """
    found = []
    for values in product(*choices.values()):
        variant = dict(zip(choices, values, strict=True))
        departs = {choice for choice in choices if variant[choice] != choices[choice][0]}
        if len(departs) <= 1 or any(departs <= set(group) for group in cross):
            found.append(variant)
    return found


def lead_gains(measured: pd.DataFrame, choices: Choices, metric: str = "acc") -> pd.DataFrame:
    """What each lead gains over each alternative, all else equal.

    Args:
        measured: a row per run, with a column per choice, ``num_tasks``, ``seed`` and the metric.
        choices: the values of every choice, the lead first.
        metric: the column that is compared.

    Returns:
        A row per pair of runs that differ in one choice alone: ``choice``, ``lead``, ``alternative``, ``num_tasks``
        and ``gain``, the lead's metric minus the alternative's.
    """
    rows = []
    for choice, (lead, *alternatives) in choices.items():
        fixed = [*(other for other in choices if other != choice), "num_tasks", "seed"]
        ours = measured[measured[choice] == lead]
        for alternative in alternatives:
            both = ours.merge(measured[measured[choice] == alternative], on=fixed, suffixes=("", "_alternative"))
            gains = both[metric] - both[f"{metric}_alternative"]
            rows += [(choice, lead, alternative, n, gain) for n, gain in zip(both["num_tasks"], gains, strict=True)]
    return pd.DataFrame(rows, columns=["choice", "lead", "alternative", "num_tasks", "gain"])


def verdict(gains: pd.Series, margin: float) -> str:
    """What the gains of a lead over one alternative say, a mean gain per number of tasks.

    Args:
        gains: in points.
        margin: a gain of at most this size, in points, is no difference.
    """
    if (gains > margin).all():
        return "holds"
    if (gains < -margin).all():
        return "is refuted"
    if (gains.abs() <= margin).all():
        return "makes no difference"
    return "depends on the number of tasks"
