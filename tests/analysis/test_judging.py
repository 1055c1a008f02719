"""Paired differences of several metrics on several zoos."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.judging import judgement, mean_unseen

from .test_runs import REFERENCES, matrices, measured, scores  # noqa: F401

PER_RUN = pd.DataFrame(
    [
        ("one", True, "A", 8, 0, 70.0, np.nan),
        ("one", True, "B", 8, 0, 71.0, np.nan),
        ("one", True, "A", 8, 1, 60.0, np.nan),
        ("one", True, "B", 8, 1, 63.0, np.nan),
        ("one", False, "A", 8, 40, 66.0, -5.0),
        ("one", False, "B", 8, 40, 65.0, -7.0),
        ("two", True, "A", 8, 0, 50.0, np.nan),
        ("two", True, "B", 8, 0, 50.0, np.nan),
    ],
    columns=["zoo", "drawn", "label", "num_tasks", "seed", "acc", "bwt"],
)


def test_each_zoo_and_metric_is_compared_on_its_own_runs():
    found = judgement(PER_RUN, "A", ["acc", "bwt"]).set_index(["zoo", "drawn", "metric", "label"])
    assert len(found) == 8  # no row for BWT of draws, where nothing was measured
    row = found.loc[("one", True, "acc", "B")]
    assert (row["mean"], row["difference"], row["low"], row["high"], row["improvement"]) == (67.0, 2.0, 1.0, 3.0, 1.0)
    assert row["std"] == pytest.approx(np.std([71, 63], ddof=1)) and row["runs"] == 2
    assert found.loc[("one", False, "bwt", "B"), "difference"] == -2.0
    assert found.loc[("two", True, "acc", "B"), "improvement"] == 0.5
    assert found.xs("A", level="label")["difference"].isna().all()
    with pytest.raises(ValueError, match="no row 'C'"):
        judgement(PER_RUN, "C", ["acc"])


def test_unseen_accuracy_is_a_mean_over_steps_and_blank_unless_all_were_scored(scores, matrices):  # noqa: F811
    found = mean_unseen(scores, REFERENCES).set_index(["label", "seed"])["unseen"]
    R = matrices[40]
    assert found["OPCM", 40] == pytest.approx(np.mean([R[t, t + 1 :].mean() for t in range(3)]))
    sparse = scores[(scores.step == 4) | (scores.position == scores.step)]
    assert mean_unseen(sparse, REFERENCES)["unseen"].isna().all()
