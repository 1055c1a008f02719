"""Bootstrap intervals and paired differences over orders."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.intervals import bootstrap_interval, leads_over, pair_conclusions, paired_differences


def test_interval_of_a_normal_mean_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(50, 10, size=400)
    low, high = bootstrap_interval(values)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    samples = np.random.default_rng(2).normal(size=(20, 500))  # 500 experiments of 20 orders each
    low, high = bootstrap_interval(samples, resamples=2000)
    assert 0.88 < ((low < 0) & (high > 0)).mean() < 0.97


def test_interval_is_the_same_every_time_and_of_one_order_unknown():
    assert (bootstrap_interval([1.0, 2, 4]) == bootstrap_interval([1.0, 2, 4])).all()
    assert np.isnan(bootstrap_interval([3.0])).all() and (bootstrap_interval([3.0, 3.0]) == 3).all()


PER_RUN = pd.DataFrame(
    [("A", 8, 40, 70.0), ("A", 8, 41, 72.0), ("A", 8, 42, 71.0), ("B", 8, 40, 69.0), ("B", 8, 41, 72.0), ("C", 8, 42, 80.0)],
    columns=["label", "num_tasks", "seed", "acc"],
)


def test_differences_are_taken_order_by_order():
    found = paired_differences(PER_RUN, against="B")
    assert found.label.tolist() == ["A"]  # C shares no order with B
    row = found.iloc[0]
    assert (row.difference, row.improvement, row.orders) == (0.5, 0.75, 2)
    assert (row.low, row.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"no row 'D'.*A, B, C"):
        paired_differences(PER_RUN, against="D")


def test_a_rows_leads_are_the_others_differences_turned_round():
    per_run = pd.DataFrame(
        [("A", 8, 1, 60.0), ("A", 8, 2, 61.0), ("B", 8, 1, 58.0), ("B", 8, 2, 62.0), ("C", 8, 1, 50.0), ("C", 8, 2, 50.0)],
        columns=["label", "num_tasks", "seed", "acc"],
    )
    leads = leads_over(per_run, "A").set_index("over")
    assert leads["difference"].to_dict() == {"B": 0.5, "C": 10.5} and leads["improvement"].to_dict() == {"B": 0.5, "C": 1.0}
    backwards = paired_differences(per_run[per_run["label"] != "C"], "B")
    assert leads.loc["B", ["difference", "low", "high"]].tolist() == pytest.approx(
        backwards.loc[0, ["difference", "low", "high"]]
    )


def test_conclusions_of_one_zoo_are_held_reversed_or_left_undecided_by_another():
    def runs(**acc):
        rows = [(label, 8, 40 + i, value) for label, values in acc.items() for i, value in enumerate(values)]
        return pd.DataFrame(rows, columns=["label", "num_tasks", "seed", "acc"])

    first = runs(A=[70, 71, 72], B=[60, 61, 63], C=[65, 66, 67], D=[69, 71, 73], only_here=[1, 2, 3])
    second = runs(A=[80, 81, 82], B=[70, 71, 72], C=[69, 72, 71], D=[85, 86, 87])
    found = pair_conclusions(first, second).set_index(["better", "worse"])
    verdicts = {
        ("A", "B"): "holds",
        ("A", "C"): "holds",
        ("C", "B"): "undecided",
        ("D", "B"): "holds",
        ("D", "C"): "holds",
        ("A", "D"): "open",
    }
    assert {pair: found.verdict[pair] for pair in verdicts} == verdicts
    assert len(found) == 6  # each pair once, a tie too
    row = found.loc[("A", "C")]
    assert (row.difference, row.low, row.high) == (5, 5, 5) and row.difference_second == pytest.approx(31 / 3)
    swapped = runs(A=[60, 61, 63], B=[70, 71, 72])
    assert pair_conclusions(first, swapped).verdict.tolist() == ["reverses"]
    one_order = second[(second["label"] != "A") | (second["seed"] == 40)]
    for pair in ((first, one_order), (one_order, first)):  # of one order nothing can be concluded, on either side
        found = pair_conclusions(*pair)
        assert len(found) == 3 and not {"A"} & {*found["better"], *found["worse"]}
