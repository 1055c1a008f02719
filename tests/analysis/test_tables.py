"""From metrics of runs to the printed table."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis import tables

PER_RUN = pd.DataFrame(
    [("A", 8, 40, 70.0), ("A", 8, 41, 72.0), ("A", 8, 42, 71.0), ("B", 8, 40, 69.0), ("B", 8, 41, 72.0), ("C", 8, 42, 80.0)],
    columns=["label", "num_tasks", "seed", "acc"],
).assign(bwt=-1.0)
REFERENCES = {8: pd.DataFrame({"pretrained": [40.0, 60.0], "individual": [90.0, 96.0]}, index=["mnist", "svhn"])}


@pytest.fixture
def summary():
    return tables.summary(PER_RUN, tables.reference_means(REFERENCES))


def test_references_are_means_over_tasks():
    means = tables.reference_means(REFERENCES)
    assert means.loc[8].to_dict() == {"Pretrained": 50, "Individual": 93} and means.index.name == "num_tasks"


def test_the_summary_has_means_and_spreads_over_orders(summary):
    rows = summary.set_index("label")
    assert list(rows.index) == ["Pretrained", "Individual", "A", "B", "C"]
    assert (rows.acc_mean["A"], rows.acc_std["A"], rows.orders["A"]) == (71, 1, 3)
    assert rows.acc_low["A"] == 70 and rows.acc_high["A"] == 72
    assert rows.acc_mean["C"] == 80 and np.isnan(rows.acc_std["C"]) and rows.orders["C"] == 1
    assert rows.acc_mean["Pretrained"] == 50 and rows.loc["Pretrained", "acc_std":].isna().all()


def test_a_run_with_a_negative_seed_is_no_order():
    joint = pd.DataFrame([("Joint", 8, -1, 93.0, np.nan)], columns=PER_RUN.columns)
    summary = tables.summary(pd.concat([PER_RUN, joint]), tables.reference_means(REFERENCES))
    assert np.isnan(summary.set_index("label").orders["Joint"])
    assert list(tables.main_table(summary).loc["Joint"]) == ["93.0", "", ""]


def test_the_table_shows_either_spread():
    summary = tables.summary(PER_RUN, pd.DataFrame({"Pretrained": {8: 50.0}}).rename_axis("num_tasks"))
    assert tables.main_table(summary).loc["A", ("8 tasks", "ACC")] == "71.0 ± 1.0"
    assert tables.main_table(summary, "interval").loc["A", ("8 tasks", "ACC")] == "71.0 [70.0, 72.0]"
    assert tables.main_table(summary, "interval").loc["C", ("8 tasks", "ACC")] == "80.0"
    with pytest.raises(ValueError, match="std, interval"):
        tables.main_table(summary, "sem")


def test_the_individual_models_close_the_table_and_what_is_unknown_is_blank(summary):
    table = tables.main_table(summary)
    assert list(table.index) == ["Pretrained", "A", "B", "C", "Individual"]
    assert list(table.loc["Individual"]) == ["93.0", "", ""]
    assert list(table.loc["A"]) == ["71.0 ± 1.0", "-1.0 ± 0.0", "3"]


def test_markdown_and_latex_hold_the_table(summary):
    table = tables.main_table(summary)
    header, rule, *rows = tables.to_markdown(table).splitlines()
    assert [cell.strip() for cell in header.split("|")[1:-1]] == ["method", "8 tasks ACC", "8 tasks BWT", "8 tasks orders"]
    assert set(rule) == {"|", "-"} and len(rows) == 5
    latex = tables.to_latex(table)
    assert "\\multicolumn{3}{c}{8 tasks} \\\\\n\\cmidrule(lr){2-4}\nMethod & ACC & BWT & orders \\\\" in latex
    assert "A & 71.0 $\\pm$ 1.0 & $-$1.0 $\\pm$ 0.0 & 3 \\\\" in latex


def test_a_table_is_saved_as_numbers_and_as_it_is_printed(summary, tmp_path):
    written = tables.save_table(summary, tmp_path / "new" / "table")
    assert [path.name for path in written] == ["table.csv", "table.md", "table.tex"]
    pd.testing.assert_frame_equal(pd.read_csv(written[0]), summary, check_dtype=False)
    assert written[1].read_text() == tables.to_markdown(tables.main_table(summary)) + "\n"
    assert written[2].read_text() == tables.to_latex(tables.main_table(summary))


def test_a_note_stands_above_the_markdown_table_alone(summary, tmp_path):
    plain = [path.read_text() for path in tables.save_table(summary, tmp_path / "plain")]
    noted = [path.read_text() for path in tables.save_table(summary, tmp_path / "noted", note="For looking only.")]
    assert noted == [plain[0], f"For looking only.\n\n{plain[1]}", plain[2]]
