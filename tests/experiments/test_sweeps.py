"""Sweeps as runs, and back from the runs' labels."""

import pandas as pd
import pytest

from cmmlib.experiments.runs import Run
from cmmlib.experiments.sweeps import Sweep, plan_sweeps, swept, with_parameter

SWEEPS = {
    "OPCM": Sweep("opcm", "alpha", [0.1, 0.5], [40, 41]),
    "DOP": Sweep("dop", "svd_proj_space", ["u", "uv"], [40], {"solver": "exact"}),
}


def test_every_value_is_run_under_every_order_of_its_sweep_and_the_rest_stays():
    runs = plan_sweeps(SWEEPS, 8)
    assert [(run.method, run.params, run.seed) for run in runs] == [
        ("opcm", {"alpha": 0.1}, 40),
        ("opcm", {"alpha": 0.1}, 41),
        ("opcm", {"alpha": 0.5}, 40),
        ("opcm", {"alpha": 0.5}, 41),
        ("dop", {"solver": "exact", "svd_proj_space": "u"}, 40),
        ("dop", {"solver": "exact", "svd_proj_space": "uv"}, 40),
    ]
    assert {run.num_tasks for run in runs} == {8}


def test_an_unknown_parameter_is_refused_when_planned():
    with pytest.raises(ValueError, match="alfa"):
        plan_sweeps({"OPCM": Sweep("opcm", "alfa", [0.1], [40])}, 8)


def test_labels_lead_back_to_sweep_and_value_whatever_the_value_is():
    runs = plan_sweeps(SWEEPS, 8)
    frame = pd.DataFrame([(run.label, run.seed) for run in runs], columns=["label", "seed"])
    found = swept(frame, SWEEPS)
    assert found["sweep"].tolist() == ["OPCM"] * 4 + ["DOP"] * 2
    assert found["value"].tolist() == [0.1, 0.1, 0.5, 0.5, "u", "uv"] and "label" not in found
    assert swept(frame[:4], {"DOP": SWEEPS["DOP"]}, {"OPCM": SWEEPS["OPCM"]})["value"].dtype == float
    with pytest.raises(KeyError):
        swept(frame, {"OPCM": SWEEPS["OPCM"]})


def test_a_parameter_is_that_of_the_run_or_the_default_and_blank_where_there_is_none():
    runs = [Run("TIES", "ties", number, 40, {"scaling_factor": value}) for number, value in ((8, 0.3), (20, 0.1))]
    runs += [Run("MagMax", "magmax", 8, 40), Run("OPCM", "opcm", 8, 40)]
    frame = pd.DataFrame([(run.label, run.num_tasks) for run in runs], columns=["label", "num_tasks"])
    found = with_parameter(frame, runs, "scaling_factor")["scaling_factor"]
    assert found.tolist()[:3] == [0.3, 0.1, 0.5] and pd.isna(found[3]) and found.dtype == float
