"""Merging one order: what is scored when, and nothing twice."""

import pytest

import cmmlib
from cmmlib.experiments.frames import accuracies
from cmmlib.experiments.runs import Run, plan
from cmmlib.experiments.sequence import references_known, run_sequence
from cmmlib.experiments.store import Results
from cmmlib.experiments.time_left import SCORING

from ..helpers.golden_suite import SUITE, TASKS, Scorer, execute, measure_references


@pytest.fixture
def store(tmp_path):
    return Results(tmp_path / "scores.sqlite")


def test_after_a_step_the_task_just_merged_is_scored_and_all_at_the_end(store):
    run = Run("OPCM", "opcm", 4, 40)
    order = run.order(SUITE)
    assert order == cmmlib.task_order(TASKS[:4], 40)
    assert execute(run, store) == [[order[0]], [order[1]], [order[2]], order]


def test_models_wait_for_each_other_and_the_scores_are_the_same(store, tmp_path):
    run = Run("OPCM", "opcm", 4, 40, every_step=True)
    asked = execute(run, store)
    for together in (2, 3, 9):
        other = Results(tmp_path / f"{together}.sqlite")
        assert execute(run, other, together) == asked
        assert accuracies(SUITE, "tiny", [run], other).equals(accuracies(SUITE, "tiny", [run], store))


def test_work_is_reported_as_it_is_done(store):
    heard = []
    run_sequence(SUITE, "tiny", Run("OPCM", "opcm", 3, 40), store, Scorer(2), lambda *work: heard.append(work[:2]))
    assert heard == [("OPCM", 1), (SCORING, 200), ("OPCM", 1), (SCORING, 300)]  # the first model is no work


def test_every_step_scores_all_tasks(store):
    assert [len(tasks) for tasks in execute(Run("OPCM", "opcm", 3, 40, every_step=True), store)] == [3, 3, 3]


def test_what_is_stored_is_not_done_again_and_curves_add_to_it(store):
    execute(Run("OPCM", "opcm", 3, 40), store)
    assert execute(Run("OPCM", "opcm", 3, 40), store) == []
    assert [len(tasks) for tasks in execute(Run("OPCM", "opcm", 3, 40, every_step=True), store)] == [2, 2]


def test_an_interrupted_run_keeps_its_finished_steps_and_ends_with_the_same_scores(store, tmp_path):
    run = Run("DOP-exact", "dop", 4, 41, {"solver": "exact"}, every_step=True)

    class Interrupted(Scorer):
        def score(self, tensors, tasks):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().score(tensors, tasks)

    with pytest.raises(KeyboardInterrupt):
        run_sequence(SUITE, "tiny", run, store, Interrupted())
    assert len(execute(run, store)) == 2
    whole = Results(tmp_path / "whole.sqlite")
    execute(run, whole)
    left, right = (accuracies(SUITE, "tiny", [run], s) for s in (store, whole))
    assert left.equals(right)


def test_final_scores_of_order_free_methods_are_measured_once(store):
    runs = plan({"WA": ("weight_average", {})}, 4, range(40, 50))
    assert sum(len(tasks) == 4 for run in runs for tasks in execute(run, store)) == 1


def test_references_are_known_when_all_of_them_are(store):
    assert not references_known(SUITE, "tiny", 2, store)
    measure_references(2, store)
    assert references_known(SUITE, "tiny", 2, store) and not references_known(SUITE, "tiny", 3, store)
