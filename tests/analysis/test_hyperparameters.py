"""Choosing λ: by the mean over other orders, and for each task by all the others."""

import pandas as pd
import pytest

from cmmlib.analysis.hyperparameters import best_value, left_out_accuracies


def points(table):
    rows = [(value, seed, acc) for value, accs in table.items() for seed, acc in enumerate(accs, 50)]
    return pd.DataFrame(rows, columns=["value", "seed", "acc"])


def test_the_value_with_the_highest_mean_wins_not_that_of_the_best_order():
    assert best_value(points({0.1: [60, 60], 0.3: [70, 71], 0.5: [90, 40]})) == 0.3


def test_of_equal_values_the_first_is_taken():
    assert best_value(points({0.5: [60, 70], 0.1: [70, 60], 0.9: [1, 1]})) == 0.5


def test_values_under_different_orders_cannot_be_compared():
    with pytest.raises(ValueError, match="under every order"):
        best_value(points({0.1: [60, 60], 0.3: [70]}))


def test_a_task_has_no_say_in_its_own_value():
    table = {0.1: {"a": 100, "b": 50, "c": 50}, 0.3: {"a": 0, "b": 70, "c": 60}}
    rows = [(value, task, accuracy) for value, row in table.items() for task, accuracy in row.items()]
    chosen = left_out_accuracies(pd.DataFrame(rows, columns=["value", "task", "accuracy"]))
    # without a, whose 100 settles it for the others, 0.3 is better
    assert chosen["value"].to_dict() == {"a": 0.3, "b": 0.1, "c": 0.1}
    assert chosen["accuracy"].to_dict() == {"a": 0, "b": 50, "c": 50}


def test_one_task_leaves_nothing_to_choose_by():
    with pytest.raises(ValueError, match="at least two tasks"):
        left_out_accuracies(pd.DataFrame({"value": [0.1], "task": ["a"], "accuracy": [50.0]}))
