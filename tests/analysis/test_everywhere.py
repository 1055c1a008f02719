"""Which row leads which, and where."""

import pandas as pd
import pytest

from cmmlib.analysis.everywhere import lead_table, leads


def runs(**values):
    """Runs on 8 tasks: label → ACC on orders 40, 41, …"""
    rows = [(label, 8, 40 + place, acc) for label, accs in values.items() for place, acc in enumerate(accs)]
    return pd.DataFrame(rows, columns=["label", "num_tasks", "seed", "acc"])


def test_cells_are_counted_with_those_beyond_chance_and_the_range_of_differences():
    one = runs(A=[70, 72], B=[60, 61], C=[65, 76])
    two = runs(A=[50, 50], B=[55, 56], only=[1, 2])
    found = leads({"one": one, "two": pd.concat([two, runs(C=[49, 49])])})
    pairs = found.set_index(["row", "other"])
    assert list(dict.fromkeys(found["row"])) == ["A", "B", "C"]  # what one zoo lacks is left out
    assert (pairs["cells"] == 2).all()
    assert pairs.loc[("A", "B"), ["leads", "beyond_chance"]].tolist() == [1, 1]
    assert pairs.loc[("A", "B"), ["smallest", "largest"]].tolist() == pytest.approx([-5.5, 10.5])
    assert pairs.loc[("A", "C"), ["leads", "beyond_chance"]].tolist() == [2, 1]  # on one of them A − C is 5 and −4
    assert pairs.loc[("C", "A"), "leads"] == 0
    table = lead_table(found)
    assert table.loc["A", "C"] == "2" and table.loc["B", "B"] == "" and table.columns.tolist() == ["A", "B", "C"]
