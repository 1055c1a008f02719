"""The best, the worst and the default value of a sweep; the best and the worst order."""

import pandas as pd

from cmmlib.analysis.sweeps import order_extremes, sweep_summary


def test_the_summary_is_of_means_over_orders_and_knows_what_was_not_swept():
    accuracies = {0.1: (60, 64), 0.5: (70, 72), 0.9: (90, 40)}
    runs = [(value, seed, acc) for value, accs in accuracies.items() for seed, acc in enumerate(accs, 40)]
    rows = [("alpha", value, seed, acc, -acc / 10) for value, seed, acc in runs]
    rows += [("space", space, 40, acc, 0.0) for space, acc in (("u", 50), ("uv", 55))]
    points = pd.DataFrame(rows, columns=["sweep", "value", "seed", "acc", "bwt"])
    found = sweep_summary(points, {"alpha": 0.1, "space": "v"})
    assert found.loc[("alpha", "best")].tolist() == [0.5, 2, 71, -7.1]
    assert found.loc[("alpha", "worst")].tolist() == found.loc[("alpha", "default")].tolist() == [0.1, 2, 62, -6.2]
    assert found.loc["space", "value"].to_dict() == {"best": "uv", "worst": "u"}
    assert found["orders"].tolist() == [2, 2, 2, 1, 1]


def test_whole_numbers_stay_whole_beside_a_sweep_of_others():
    rows = [("steps", 0, 40, 50.0, 0.0), ("steps", 10, 40, 60.0, 0.0), ("beta", 0.999, 40, 60.0, 0.0)]
    points = pd.DataFrame(rows, columns=["sweep", "value", "seed", "acc", "bwt"])
    points["value"] = pd.Series([0, 10, 0.999], dtype=object)
    found = sweep_summary(points, {"steps": 10, "beta": 0.999})["value"]
    assert list(map(str, found)) == ["10", "0", "10", "0.999", "0.999", "0.999"]


def test_extremes_name_the_orders_that_gave_them():
    rows = [("OPCM", 40, 70.0), ("OPCM", 41, 76.0), ("OPCM", 42, 73.0), ("TIES", 41, 50.0), ("TIES", 40, 51.0)]
    found = order_extremes(pd.DataFrame(rows, columns=["label", "seed", "acc"]))
    assert found.loc["OPCM"].tolist() == [73, 3, 70, 76, 6, 40, 41]
    assert found.loc["TIES", ["gap", "worst_seed", "best_seed"]].tolist() == [1, 41, 40]
