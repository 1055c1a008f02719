"""Judging methods by random subsets of tasks and by orders, on the golden models."""

import numpy as np
import pytest

from cmmlib.experiments import judgement
from cmmlib.experiments.judgement import Design, judge
from cmmlib.experiments.store import Results

from ..helpers.golden_suite import SUITE, TASKS, execute, measure_references

ROWS = {"OPCM": ("opcm", {}), "mean": ("weight_average", {})}
DESIGN = Design(draws={2: [0, 1, 2], 3: [3]}, orders={3: [40, 41]}, curves={3: [41]})


def test_a_design_has_final_runs_of_subsets_and_orders_with_and_without_curves():
    drawn, ordered = DESIGN.plans(ROWS)
    assert [(r.num_tasks, r.seed) for r in drawn if r.label == "OPCM"] == [(2, 0), (2, 1), (2, 2), (3, 3)]
    assert all(run.drawn and run.final for run in drawn) and not any(run.drawn or run.final for run in ordered)
    assert [(r.label, r.seed, r.every_step) for r in ordered] == [
        *((label, 40, False) for label in ROWS),
        *((label, 41, True) for label in ROWS),
    ]
    with pytest.raises(ValueError, match="alhpa"):
        DESIGN.plans({"x": ("opcm", {"alhpa": 0.5})})


def test_every_run_has_its_metrics_and_only_curves_have_unseen_accuracy(tmp_path, monkeypatch):
    asked = []

    def run_grid(suite, backbone, runs, results, **how):
        asked.append(how)
        measure_references(len(TASKS), results)
        for run in runs:
            execute(run, results)

    monkeypatch.setattr(judgement, "run_grid", run_grid)
    store = Results(tmp_path / "scores.sqlite")
    frame = judge(SUITE, "tiny", ROWS, store, DESIGN, jobs=1)
    assert asked == [{"jobs": 1}]
    assert frame.groupby("drawn").size().to_dict() == {True: 8, False: 4}
    assert frame["acc"].notna().all() and frame.loc[~frame["drawn"], "bwt"].notna().all()
    assert (frame["unseen"].notna() == (~frame["drawn"] & (frame["seed"] == 41))).all()
    only = judge(SUITE, "tiny", ROWS, store, Design(draws={}, orders={3: [40]}, curves={}))
    same = frame[~frame["drawn"] & (frame["seed"] == 40)]
    np.testing.assert_array_equal(only["acc"], same["acc"])
