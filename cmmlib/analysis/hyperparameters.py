"""Choosing a hyper-parameter by scores other than those reported: of other orders, or of other tasks."""

from __future__ import annotations

import pandas as pd


def best_value(points: pd.DataFrame, metric: str = "acc") -> object:
    """The value of a hyper-parameter with the highest mean over orders; the first of several that tie.

    Args:
        points: one row per value and order, with the columns ``value``, ``seed`` and the one that ``metric`` names.

    Raises:
        ValueError: there are no rows, or a value was not scored under every order.
    """
    table = points.pivot(index="seed", columns="value", values=metric)[points["value"].drop_duplicates()]
    if table.empty or table.isna().any(axis=None):
        raise ValueError(f"{metric}: every value must be scored under every order; found\n{table}")
    return table.mean().idxmax()


def left_out_accuracies(final: pd.DataFrame) -> pd.DataFrame:
    """The accuracy on every task under the value that is best on average over all *other* tasks.

    So a task's own test images do not influence the value under which they are classified.  It is for methods whose final
    model does not depend on the order: for these, other orders give no independent scores to choose by.

    Args:
        final: scores of the final models, one row per value and task, with columns ``value``, ``task``, ``accuracy``.

    Returns:
        Columns ``value`` and ``accuracy``, indexed by ``task``.

    Raises:
        ValueError: there are fewer than two tasks, or a value was not scored on every task.
    """
    table = final.pivot(index="task", columns="value", values="accuracy")[final["value"].drop_duplicates()]
    if len(table) < 2 or table.isna().any(axis=None):
        raise ValueError(f"every value must be scored on every task, and on at least two tasks; found\n{table}")
    values = {task: table.drop(index=task).mean().idxmax() for task in table.index}
    accuracies = [table.loc[task, value] for task, value in values.items()]
    return pd.DataFrame({"value": pd.Series(values), "accuracy": accuracies}).rename_axis("task")
