"""The same runs on two zoos of models: mean ACC, ranks, and how many conclusions hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

VERDICTS = ["holds", "undecided", "reverses", "open"]
"""What `cmmlib.analysis.intervals.pair_conclusions` says of two rows."""


_RANKS = ("effective_rank", "opcm_rank", "rank_90")


def renumbered(runs: pd.DataFrame, numbers: Mapping[int, int]) -> pd.DataFrame:
    """Runs under other numbers of tasks, to compare suites of different size: 4 of 10 tasks are as 8 of 20.

    Args:
        runs: with a column ``num_tasks``.
        numbers: number of tasks of the runs → the number to write in its place; rows of any other are left out.
    """
    return runs[runs["num_tasks"].isin(list(numbers))].assign(num_tasks=lambda part: part["num_tasks"].map(numbers))


def geometry_of(cosines: pd.DataFrame, layers: pd.DataFrame) -> pd.Series:
    """A zoo's task vectors in a few numbers, to set beside another's.

    Args:
        cosines: of every two tasks' task vectors.
        layers: `cmmlib.analysis.spectra.layer_spectra`.

    Returns:
        Mean, smallest and largest cosine of two tasks; the mean over layers and tasks of the effective rank and of OPCM's
        and the 90 % rank, each as a share of the full rank.  Layers that fine-tuning has left alone do not count.
    """
    layers = layers[layers["norm"] > 0]
    pairs = cosines.to_numpy()[np.triu_indices(len(cosines), 1)]
    shares = {f"{key} / full rank": (layers[key] / layers["full_rank"]).mean() for key in _RANKS}
    return pd.Series({"mean cosine": pairs.mean(), "smallest": pairs.min(), "largest": pairs.max(), **shares})


def means_on_both(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of ACC over orders on both zoos.

    Args:
        first, second: `cmmlib.analysis.runs.per_run_metrics` on either zoo, of the same runs.

    Returns:
        Columns ``num_tasks``, ``label``; ``acc``, ``std``, ``orders`` on the first zoo; ``acc_second``, ``std_second``;
        ``change`` (second minus first, in points).
    """
    key = ["num_tasks", "label"]
    ours, theirs = (part.groupby(key, sort=False)["acc"].agg(["mean", "std", "count"]) for part in (first, second))
    table = ours.merge(theirs.drop(columns="count"), on=key, suffixes=("", "_second")).reset_index()
    names = {"mean": "acc", "count": "orders", "mean_second": "acc_second"}
    return table.rename(columns=names).assign(change=lambda row: row["acc_second"] - row["acc"]).round(6)


def rank_correlations(table: pd.DataFrame) -> pd.Series:
    """Spearman's correlation of the two zoos' mean ACC per number of tasks; 1 where the methods rank alike.

    Args:
        table: `means_on_both`.
    """
    ranks = {number: part["acc"].rank().corr(part["acc_second"].rank()) for number, part in table.groupby("num_tasks")}
    return pd.Series(ranks, name="rank correlation").rename_axis("num_tasks")


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """`means_on_both` as it is printed: a row per label; per number of tasks ``acc``, ``acc_second`` and ``change``."""
    values = ["acc", "acc_second", "change"]
    wide = table.pivot(index="label", columns="num_tasks", values=values).swaplevel(axis="columns")
    columns = [(number, value) for number in sorted(table["num_tasks"].unique()) for value in values]
    return wide.loc[table["label"].unique(), columns]


def verdict_counts(pairs: pd.DataFrame) -> pd.DataFrame:
    """How many conclusions of the first zoo hold, are undecided or reverse on the second, and how many pairs are open.

    Args:
        pairs: `cmmlib.analysis.intervals.pair_conclusions`.

    Returns:
        Indexed by ``num_tasks``, a column per verdict (`VERDICTS`).
    """
    counts = pairs.groupby("num_tasks")["verdict"].value_counts().unstack(fill_value=0)
    return counts.reindex(columns=pd.Index(VERDICTS, name="verdict"), fill_value=0)
