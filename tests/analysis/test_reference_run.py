"""Measured rows meet those of the reference run, and what is too far off is found."""

import io

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.reference_run import differing, with_reference

MEASURED = pd.DataFrame(
    [("TIES", 8, 40, 71.0, -4.0), ("OPCM", 8, 40, 75.0, -7.0), ("OPCM", 8, 41, 76.0, -6.0), ("Mine", 8, 40, 10.0, 0.0)],
    columns=["label", "num_tasks", "seed", "acc", "bwt"],
)


def test_rows_of_one_side_alone_are_left_out_and_ours_keep_their_order():
    reference = MEASURED.iloc[[2, 1]].assign(acc=[70.0, 75.5], more=1)
    both = with_reference(MEASURED, reference)
    assert both[["label", "seed", "acc", "acc_reference"]].values.tolist() == [
        ["OPCM", 40, 75, 75.5],
        ["OPCM", 41, 76, 70],
    ]
    assert list(both) == [*MEASURED, "acc_reference", "bwt_reference"]


def test_a_column_of_numbers_and_names_is_compared_as_it_is_saved():
    values = pd.Series([0.1, 1.0, "balanced", 0.99999, None], dtype=object)
    frame = pd.DataFrame({"fixed": ["", "", "num_steps=10", "", ""], "value": values, "acc": [1.0, 2, 3, 4, 5]})
    saved = pd.read_csv(io.StringIO(frame.to_csv(index=False, float_format="%.6g")))
    assert with_reference(frame, saved, on=["fixed", "value"])["acc_reference"].tolist() == [1, 2, 3, 4, 5]
    numbers = frame.assign(value=[0.1, 1.0, 2, 0.99999, np.nan])  # a column of floats is printed without ".0"
    saved = pd.read_csv(io.StringIO(numbers.to_csv(index=False, float_format="%.6g")))
    assert len(with_reference(numbers, saved, on=["fixed", "value"])) == 5


@pytest.mark.parametrize(
    ("change", "off"), [({"acc": 1.0}, []), ({"acc": 1.01}, [40, 41]), ({"bwt": -2.5}, [40, 41]), ({"bwt": 2.0}, [])]
)
def test_what_is_further_off_than_tolerated_is_found_in_any_column(change, off):
    opcm = MEASURED[MEASURED["label"] == "OPCM"]
    reference = opcm.assign(**{column: opcm[column] + by for column, by in change.items()})
    assert differing(with_reference(opcm, reference), acc=1.0, bwt=2.0)["seed"].tolist() == off


def test_a_number_and_a_blank_differ_and_two_blanks_do_not():
    ours, theirs = MEASURED.assign(bwt=[np.nan, np.nan, 1, 1]), MEASURED.assign(bwt=[np.nan, 1, np.nan, 1])
    assert differing(with_reference(ours, theirs), bwt=2.0).index.tolist() == [1, 2]


def test_without_a_common_row_nothing_is_compared():
    both = with_reference(MEASURED, MEASURED.assign(seed=99))
    assert len(both) == 0 and differing(both, acc=1.0).empty
