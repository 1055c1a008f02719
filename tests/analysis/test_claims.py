"""Claims about differences between rows, and their verdicts."""

import pandas as pd

from cmmlib.analysis.claims import Claim, checked_claims, claim_verdicts

MEASURED = pd.DataFrame(
    [
        ("one", 8, "A", 70.0),
        ("one", 8, "B", 68.0),
        ("one", 8, "C", 60.0),
        ("two", 8, "A", 50.0),
        ("two", 8, "A", 52.0),  # another order
        ("two", 8, "B", 55.0),
    ],
    columns=["backbone", "num_tasks", "label", "acc"],
)
CLAIMS = [Claim("A leads B", "A", "B", 0, 3), Claim("A leads C", "A", "C", 0, 20), Claim("B leads D", "B", "D", 0, 1)]


def test_claims_are_checked_within_each_place_where_both_rows_were_measured():
    found = checked_claims(MEASURED, CLAIMS, ["backbone", "num_tasks"])
    assert found[["claim", "backbone", "difference", "holds"]].values.tolist() == [
        ["A leads B", "one", 2.0, True],
        ["A leads B", "two", -4.0, False],
        ["A leads C", "one", 10.0, True],
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
