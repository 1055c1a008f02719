"""Choosing a hyper-parameter by scores that are not those reported: of other orders, or of other tasks."""

from __future__ import annotations

import pandas as pd


def best_value(points: pd.DataFrame, metric: str = "acc") -> object:
    """The value with the highest mean over orders; of several the one that comes first.

    Args:
        points: one row per value and order, with columns ``value``, ``seed`` and ``metric``.

    Raises:
        ValueError: there are none, or they were not all scored under the same orders.
    """
    table = points.pivot(index="seed", columns="value", values=metric)[points["value"].drop_duplicates()]
    if table.empty or table.isna().any(axis=None):
        raise ValueError(f"{metric}: every value is to be scored under every order; found\n{table}")
    return table.mean().idxmax()


def left_out_accuracies(final: pd.DataFrame) -> pd.DataFrame:
    """Of every task the accuracy under the value that is best on average over all *other* tasks.

    A task's own test images have no say in the value by which they are classified, which is what is left of an honest
    choice where the final model does not depend on the order and other orders therefore are no other data.

    Args:
        final: scores of the final models, one row per value and task, with columns ``value``, ``task``, ``accuracy``.

    Returns:
        Indexed by ``task``: ``value`` and ``accuracy``.

    Raises:
        ValueError: fewer than two tasks, or a value without a score on one.
    """
    table = final.pivot(index="task", columns="value", values="accuracy")[final["value"].drop_duplicates()]
    if len(table) < 2 or table.isna().any(axis=None):
        raise ValueError(f"every value is to be scored on every one of at least two tasks; found\n{table}")
    values = {task: table.drop(index=task).mean().idxmax() for task in table.index}
    accuracies = [table.loc[task, value] for task, value in values.items()]
    return pd.DataFrame({"value": pd.Series(values), "accuracy": accuracies}).rename_axis("task")
