"""Our figures beside those that papers report."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.comparison import beside, comparison_table
from cmmlib.suites import published_table

ROWS = [("OPCM", 8, 76.0, 0.5, -5.0, 0.1, 10), ("Mine", 8, 80.0, 1.0, np.nan, np.nan, 10)]
COLUMNS = ["label", "num_tasks", "acc_mean", "acc_std", "bwt_mean", "bwt_std", "orders"]
OURS = pd.DataFrame(ROWS, columns=COLUMNS)


def test_ours_stands_beside_theirs():
    frame = beside(OURS, published_table("clip", "ViT-B/32"))
    assert set(frame.num_tasks) == {8}  # what ours does not cover is not listed
    frame = frame.set_index(["label", "metric"])
    assert frame.loc[("OPCM", "ACC"), "difference"] == pytest.approx(0.5)
    assert np.isnan(frame.loc[("OPCM", "BWT"), "published"]) and frame.loc[("OPCM", "BWT"), "ours"] == -5.0
    assert np.isnan(frame.loc[("Mine", "ACC"), "published"])
    assert np.isnan(frame.loc[("NUFILT", "ACC"), "ours"]) and frame.loc[("NUFILT", "ACC"), "published"] == 83.6
    assert ("Mine", "BWT") not in frame.index


def test_the_printed_comparison_has_a_row_per_method_and_blanks():
    table = comparison_table(beside(OURS, published_table("clip", "ViT-B/32")))
    assert table.loc["OPCM", ("8 tasks", "ACC")].tolist() == ["76.0", "75.5", "0.5"]
    assert table.loc["Mine", ("8 tasks", "ACC", "published")] == "" and table.index.is_unique
    assert table.loc["NUFILT", ("8 tasks", "BWT", "published")] == "-2.7"
