"""A run's order and what is scored when; the plan of many."""

import pytest

import cmmlib
from cmmlib.experiments.runs import Run, plan, plan_table

from ..helpers.golden_suite import SUITE, TASKS


def test_a_run_s_order_is_that_of_its_seed():
    assert Run("OPCM", "opcm", 4, 40).order(SUITE) == cmmlib.task_order(TASKS[:4], 40)


def test_wanted_is_the_task_just_merged_and_all_at_the_end_or_all_after_every_step():
    run, curve = Run("OPCM", "opcm", 3, 40), Run("OPCM", "opcm", 3, 40, every_step=True)
    order = run.order(SUITE)
    assert run.wanted(SUITE) == [[order[0]], [order[1]], order] and curve.wanted(SUITE) == [order] * 3


def test_all_rows_are_planned_under_the_same_orders():
    runs = plan({"OPCM": ("opcm", {}), "MagMax": ("magmax", {"scaling_factor": 0.5})}, 3, [40, 41], every_step=True)
    assert [(run.label, run.seed) for run in runs] == [(label, s) for s in (40, 41) for label in ("OPCM", "MagMax")]
    assert runs[1] == Run("MagMax", "magmax", 3, 40, {"scaling_factor": 0.5}, every_step=True)


def test_unknown_rows_are_refused_when_the_grid_is_planned():
    with pytest.raises(ValueError, match="alhpa"):
        plan({"x": ("opcm", {"alhpa": 0.5})}, 3, [40])


def test_a_drawn_run_merges_the_first_tasks_of_an_order_of_all():
    drawn = Run("OPCM", "opcm", 3, 40, drawn=True)
    assert drawn.order(SUITE) == cmmlib.task_order(TASKS, 40)[:3]
    assert drawn.pool(SUITE) == TASKS and Run("OPCM", "opcm", 3, 40).pool(SUITE) == TASKS[:3]
    assert len({tuple(sorted(Run("OPCM", "opcm", 3, seed, drawn=True).order(SUITE))) for seed in range(9)}) > 1


def test_of_a_final_run_only_the_last_step_is_scored():
    run = Run("OPCM", "opcm", 3, 40, final=True)
    assert run.wanted(SUITE) == [[], [], run.order(SUITE)]


def test_rows_that_adam_solves_have_orders_of_their_own():
    rows = {
        "DOP": ("dop", {}),
        "exact": ("dop", {"solver": "exact"}),
        "WUDI": ("wudi", {"solver": "adam"}),
        "mean": ("opcm", {}),
    }
    runs = plan_table(rows, 3, [40, 41], [50], every_step=True)
    assert [(run.label, run.seed) for run in runs] == [
        *[("DOP", 50), ("exact", 40), ("exact", 41), ("WUDI", 50), ("mean", 40), ("mean", 41)],
    ]
    assert all(run.every_step for run in runs)
    assert {run.label for run in plan_table(rows, 3, [40], [])} == {"exact", "mean"}
