"""Our figures beside those that papers report."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.comparison import beside, comparison_table, off_the_zoo
from cmmlib.suites import published_table

ROWS = [("OPCM", 8, 76.0, 0.5, -5.0, 0.1, 10), ("Mine", 8, 80.0, 1.0, np.nan, np.nan, 10)]
COLUMNS = ["label", "num_tasks", "acc_mean", "acc_std", "bwt_mean", "bwt_std", "orders"]
OURS = pd.DataFrame(ROWS, columns=COLUMNS)


def test_ours_stands_beside_theirs():
    frame = beside(OURS, published_table("clip", "ViT-B/32"))
    assert set(frame.num_tasks) == {8}  # what ours does not cover is not listed
    frame = frame.set_index(["label", "metric"])
    assert frame.loc[("OPCM", "ACC"), "difference"] == pytest.approx(0.5)
    assert frame.loc[("OPCM", "BWT"), ["ours", "published", "published_std"]].tolist() == [-5.0, -6.3, 1.1]
    assert np.isnan(frame.loc[("Mine", "ACC"), "published"]) and np.isnan(frame.loc[("Mine", "ACC"), "within"])
    assert np.isnan(frame.loc[("NUFILT", "ACC"), "ours"]) and frame.loc[("NUFILT", "ACC"), "published"] == 83.6
    assert ("Mine", "BWT") not in frame.index


@pytest.mark.parametrize(
    ("ours", "std", "note", "within"),
    [
        (51.0, 0.5, np.nan, 1),  # on the bound
        (51.14, 0.5, np.nan, 1),  # beyond it by no more than rounding to one decimal hides
        (51.16, 0.5, np.nan, 0),
        (48.8, 0.5, np.nan, 0),
        (50.1, 0.0, np.nan, 1),
        (50.2, 0.0, np.nan, 0),
        (50.0, np.nan, np.nan, np.nan),  # no spread was published
        (50.0, 0.5, "looks like a slip", np.nan),
    ],
)
def test_a_difference_is_judged_by_two_published_spreads_and_only_by_these(ours, std, note, within):
    summary = pd.DataFrame([("A", 8, ours, 9.0, np.nan, np.nan, 10)], columns=COLUMNS)
    published = pd.DataFrame(
        [(8, "A", "ACC", 50.0, std, "a paper", note)],
        columns=["num_tasks", "label", "metric", "value", "std", "source", "note"],
    )
    np.testing.assert_equal(beside(summary, published)["within"].tolist(), [within])


def test_the_printed_comparison_has_a_row_per_method_and_blanks():
    table = comparison_table(beside(OURS, published_table("clip", "ViT-B/32")))
    assert table.loc[(8, "OPCM"), "ACC"].tolist() == ["76.0", "75.5 ± 0.5", "0.5", "yes"]
    assert table.loc[(8, "OPCM"), "BWT"].tolist() == ["-5.0", "-6.3 ± 1.1", "1.3", "yes"]
    assert table.loc[(8, "Mine"), "ACC"].tolist() == ["80.0", "", "", ""] and table.index.is_unique
    assert table.loc[(8, "NUFILT"), "BWT"].tolist() == ["", "-2.7", "", ""]
    assert table.index[:2].tolist() == [(8, "OPCM"), (8, "Mine")]  # ours come first, in their order


def test_a_slip_is_printed_as_such_and_not_judged():
    ours = pd.DataFrame([("MagMax", 14, 70.0, 0.0, -6.0, 1.0, 10)], columns=COLUMNS)
    row = comparison_table(beside(ours, published_table("clip", "ViT-B/16"))).loc[(14, "MagMax")]
    assert row["ACC"].tolist() == ["70.0", "67.0 ± 0.0 ?", "3.0", ""] and row["BWT", "within 2 ±"] == "yes"


def test_models_further_from_the_documentation_than_two_tables_are_named():
    columns = ["pretrained", "individual", "pretrained (ours)", "individual (ours)"]
    alone = pd.DataFrame([(50, 90, 50.5, 90.7), (60, 95, 59.3, 95.0)], index=["mnist", "svhn"], columns=columns)
    assert off_the_zoo(alone) == {"pretrained": ["svhn"], "individual": ["mnist"]}
    assert off_the_zoo(alone, tolerance=1.0) == {"pretrained": [], "individual": []}
