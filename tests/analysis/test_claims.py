"""Claims about differences between rows, and their verdicts."""

import pandas as pd

from cmmlib.analysis.claims import Claim, checked_claims, claim_verdicts

MEASURED = pd.DataFrame(
    [
        ("small", 8, 40, "A", 70.0),
        ("small", 8, 40, "B", 68.0),
        ("small", 8, 40, "C", 60.0),
        ("large", 8, 40, "A", 50.0),
        ("large", 8, 40, "B", 55.0),
        ("large", 8, 41, "A", 52.0),
        ("large", 8, 41, "B", 55.0),
        ("large", 8, 42, "A", 90.0),  # an order that B is not on
    ],
    columns=["backbone", "num_tasks", "seed", "label", "acc"],
)
CLAIMS = [Claim("A leads B", "A", "B", 0, 3), Claim("A leads C", "A", "C", 0, 20), Claim("B leads D", "B", "D", 0, 1)]


def test_claims_are_checked_on_the_orders_of_each_place_where_both_rows_were_measured():
    found = checked_claims(MEASURED, CLAIMS, ["backbone", "num_tasks"])
    assert found[["claim", "backbone", "difference", "orders", "holds"]].values.tolist() == [
        ["A leads B", "small", 2.0, 1, True],
        ["A leads B", "large", -4.0, 2, False],
        ["A leads C", "small", 10.0, 1, True],
    ]


def test_verdicts_say_whether_a_claim_holds_everywhere_somewhere_or_nowhere():
    checked = checked_claims(MEASURED, [*CLAIMS, Claim("A trails B", "A", "B", -2, -1)], ["backbone", "num_tasks"])
    table = claim_verdicts(checked)
    assert table["verdict"].to_dict() == {"A leads B": "in part", "A leads C": "confirmed", "A trails B": "refuted"}
    row = table.loc["A leads B"]
    assert (row["low"], row["high"], row["smallest"], row["mean"], row["largest"]) == (0, 3, -4, -1, 2)
    assert (row["holds"], row["of"]) == (1, 2)


def test_nothing_measured_gives_no_rows():
    empty = checked_claims(MEASURED, CLAIMS[2:], ["backbone", "num_tasks"])
    assert empty.empty and "difference" in empty
