"""Rows as published, with λ chosen on other orders, and by other tasks."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.tuning import chosen_values, gains_on, left_out_rows, tuned_summary, tuned_table

LEFT_OUT = ["label", "num_tasks", "acc_mean", "scaling_factor"]
REFERENCES = pd.DataFrame({"Pretrained": {8: 40.0}, "Individual": {8: 95.0}}).rename_axis("num_tasks")


@pytest.fixture
def summary():
    runs = [
        *(("OPCM", np.nan, 40, 76.0), ("OPCM", np.nan, 41, 74.0)),
        *(("TIES", 0.3, 40, 70.0), ("TIES", 0.3, 41, 72.0), ("TIES (λ chosen)", 0.7, 40, 75.0)),
        *(("TIES (λ chosen)", 0.7, 41, 75.0), ("MagMax", 0.5, 40, 60.0), ("MagMax (λ chosen)", 0.5, 40, 60.0)),
    ]
    per_run = pd.DataFrame(runs, columns=["label", "scaling_factor", "seed", "acc"]).assign(num_tasks=8, bwt=-3.0)
    left_out = pd.DataFrame([("MagMax (λ by other tasks)", 8, 58.0, 0.4)], columns=LEFT_OUT)
    return tuned_summary(per_run, REFERENCES, left_out, ["TIES", "MagMax"])


def test_the_choice_has_the_highest_mean_and_says_whether_it_lies_at_the_end():
    accuracies = {"TIES": {0.1: (50, 52), 0.3: (70, 70), 0.5: (90, 40)}, "MagMax": {0.5: (60, 60), 0.7: (61, 61)}}
    rows = [(label, 8, value, seed, acc) for label, values in accuracies.items()
            for value, accs in values.items() for seed, acc in enumerate(accs, 50)]  # fmt: skip
    points = pd.DataFrame(rows, columns=["label", "num_tasks", "value", "seed", "acc"])
    found = chosen_values(points, {("TIES", 8): 0.1, ("MagMax", 8): 0.7})
    assert found.loc[("TIES", 8)].tolist() == [0.3, 70, 0.1, 51, False]
    assert found.loc[("MagMax", 8)].tolist() == [0.7, 61, 0.7, 61, True]


def test_the_left_out_row_is_of_final_models_and_has_a_value_where_all_tasks_have_the_same():
    table = {0.1: {"a": 100, "b": 50, "c": 50}, 0.3: {"a": 0, "b": 70, "c": 60}}
    rows = [("TIES", 3, 3, value, task, acc) for value, accs in table.items() for task, acc in accs.items()]
    rows += [("MagMax", 3, 3, value, task, 10 * value) for value in (1, 2) for task in "abc"]
    scores = pd.DataFrame(rows, columns=["label", "num_tasks", "step", "value", "task", "accuracy"])
    earlier = scores.assign(step=1, accuracy=1000 * (scores["value"] < 0.2))
    found = left_out_rows(pd.concat([earlier, scores])).set_index("label")
    assert found.loc["TIES (λ by other tasks)", "acc_mean"] == pytest.approx(100 / 3)
    assert np.isnan(found.loc["TIES (λ by other tasks)", "scaling_factor"])
    assert found.loc["MagMax (λ by other tasks)", ["acc_mean", "scaling_factor"]].tolist() == [20, 2]


def test_the_summary_holds_the_rows_of_a_baseline_together_and_its_gain(summary):
    assert summary["label"].tolist() == [
        *("Pretrained", "TIES", "TIES (λ chosen)", "MagMax", "MagMax (λ chosen)", "MagMax (λ by other tasks)"),
        *("OPCM", "Individual"),
    ]
    row = summary.set_index("label").loc["TIES (λ chosen)"]
    assert (row["difference"], row["improvement"], row["scaling_factor"]) == (4, 1, 0.7)
    assert 3 <= row["difference_low"] < 4 < row["difference_high"] <= 5
    assert summary.set_index("label")["difference"].drop(["TIES (λ chosen)", "MagMax (λ chosen)"]).isna().all()


def test_the_table_shows_lambda_first_and_the_gain_before_the_orders(summary):
    table = tuned_table(summary)
    assert list(table["8 tasks"]) == ["λ", "ACC", "BWT", "gain", "orders"]
    assert table.loc["TIES (λ chosen)", ("8 tasks", "gain")] == "+4.0"
    assert table.loc["TIES", ("8 tasks", "gain")] == "" and table.loc["TIES", ("8 tasks", "λ")] == "0.3"


def test_gains_are_over_the_best_other_row_and_name_what_is_overtaken(summary):
    found = gains_on(summary, ["TIES", "MagMax"], ["OPCM"])
    ties, magmax = found.loc[(8, "TIES")], found.loc[(8, "MagMax")]
    assert ties[["best", "best_acc", "as_published", "chosen", "overtakes"]].tolist() == ["OPCM", 75, -4, 0, "OPCM"]
    assert np.isnan(ties["by_other_tasks"])
    assert magmax[["as_published", "chosen", "by_other_tasks", "overtakes"]].tolist() == [-15, -15, -17, ""]
