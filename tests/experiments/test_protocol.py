"""The protocol: what is scored when, under which identity, and nothing twice."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cmmlib
from cmmlib.analysis import tables
from cmmlib.evaluation.scorer import Score
from cmmlib.experiments import frames as scores
from cmmlib.experiments import protocol as experiment
from cmmlib.experiments.protocol import Run, identity, plan, published_rows, run_references, run_sequence
from cmmlib.experiments.store import Results
from cmmlib.experiments.time_left import SCORING

GOLDEN = Path(__file__).parents[1] / "golden"
TASKS = tuple(f"task{number}" for number in range(5))
SUITE = SimpleNamespace(
    name="golden",
    backbones=("tiny",),
    content_hash="1",
    task_names=lambda n=None: TASKS[:n],
    base=lambda backbone: str(GOLDEN / "base.safetensors"),
    checkpoint=lambda backbone, task: str(GOLDEN / f"{task}.safetensors"),
)


class Scorer:
    """Counts what it is asked, and scores a model by its own numbers."""

    device = "cpu"

    def __init__(self, together=1):
        self.asked, self.together = [], together

    def prepare(self, tasks):
        pass

    def score_many(self, models, wanted):
        return {model: self.score(tensors, wanted[model]) for model, tensors in models.items() if model in wanted}

    def score(self, tensors, tasks):
        self.asked.append(list(tasks))
        total = 0 if tensors is None else sum(float(t.double().sum()) for t in tensors.values())
        return {task: Score(int(abs(total * 1000 + int(task[-1]))) % 100, 100) for task in tasks}


@pytest.fixture
def store(tmp_path):
    return Results(tmp_path / "scores.sqlite")


def execute(run, store, together=1):
    scorer = Scorer(together)
    run_sequence(SUITE, "tiny", run, store, scorer)
    return scorer.asked


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
        assert scores.accuracies(SUITE, "tiny", [run], other).equals(scores.accuracies(SUITE, "tiny", [run], store))


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
    left, right = (scores.accuracies(SUITE, "tiny", [run], s) for s in (store, whole))
    assert left.equals(right)


def test_final_scores_of_order_free_methods_are_measured_once(store):
    runs = plan({"WA": ("weight_average", {})}, 4, range(40, 50))
    assert sum(len(tasks) == 4 for run in runs for tasks in execute(run, store)) == 1


def test_a_first_model_that_stays_as_it_is_counts_as_the_individual_one():
    first = {identity(SUITE, "tiny", run, 1) for run in plan(published_rows(4), 4, [40])}
    by_method = {model.method for model in first}
    assert by_method == {"individual", "task_arithmetic", "ties", "magmax", "dop_all"}


def test_a_corrected_method_does_not_reuse_scores():
    def define(gain):
        source = f"def passing(merged, task_vector, ctx, *, k: float = 1.0):\n    return merged + {gain} * task_vector\n"
        namespace = {}
        exec(compile(source, __file__, "exec"), namespace)
        return source, namespace["passing"]

    hashes = [experiment.code_hash([define(gain)[0]]) for gain in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    commented = define(1)[0].replace("\n    return", '\n    """Says what it does."""  # why\n    return')
    assert experiment.code_hash([commented]) == hashes[0]


def test_parameters_have_one_identity_however_they_are_written():
    runs = [Run("a", "task_arithmetic", 3, 40, params) for params in ({}, {"scaling_factor": 0.3})]
    assert identity(SUITE, "tiny", runs[0], 2) == identity(SUITE, "tiny", runs[1], 2)
    one, two = (Run("a", "magmax", 3, 40, {"scaling_factor": value}) for value in (1, 1.0))
    assert identity(SUITE, "tiny", one, 2) == identity(SUITE, "tiny", two, 2)


def test_unknown_rows_are_refused_when_the_grid_is_planned():
    with pytest.raises(ValueError, match="alhpa"):
        plan({"x": ("opcm", {"alhpa": 0.5})}, 3, [40])


def measured(runs, store):
    """(scores, references) of runs, once they are done."""
    for run in runs:
        execute(run, store)
    num_tasks = runs[0].num_tasks
    run_references(SUITE, "tiny", num_tasks, store, Scorer())
    return scores.accuracies(SUITE, "tiny", runs, store), scores.reference_accuracies(SUITE, "tiny", num_tasks, store)


def test_metrics_of_a_run_are_those_of_its_matrix(store):
    runs = plan({"OPCM": ("opcm", {}), "MagMax": ("magmax", {})}, 4, [40, 41], every_step=True)
    frame, references = measured(runs, store)
    per_run = scores.per_run_metrics(frame, references).set_index(["label", "seed"]).loc[("OPCM", 41)]
    part = frame[(frame.label == "OPCM") & (frame.seed == 41)]
    R = part.pivot(index="step", columns="position", values="accuracy").to_numpy()
    bounds = references.loc[cmmlib.task_order(TASKS[:4], 41)]
    assert per_run["acc"] == pytest.approx(R[-1].mean())
    assert per_run["bwt"] == pytest.approx(np.mean(R[-1, :-1] - np.diag(R)[:-1]))
    assert per_run["normalized_acc"] == pytest.approx(100 * np.mean(R[-1] / bounds["individual"]))
    assert per_run["forward_transfer"] == pytest.approx(
        np.mean([R[i - 1, i] - bounds["pretrained"].iloc[i] for i in (1, 2, 3)])
    )
    steps = scores.per_step_metrics(part, references)
    assert steps["seen"].tolist() == pytest.approx([R[t, : t + 1].mean() for t in range(4)])
    changes = [(R[t, t + 1 :] - bounds["pretrained"].to_numpy()[t + 1 :]).mean() for t in range(3)]
    assert steps["unseen_change"].tolist()[:3] == pytest.approx(changes)
    assert steps["individual"].tolist() == pytest.approx([bounds["individual"].iloc[: t + 1].mean() for t in range(4)])


def test_the_table_has_bounds_means_deviations_and_counts(store):
    runs = plan({"OPCM": ("opcm", {})}, 3, [40, 41]) + plan({"MagMax": ("magmax", {})}, 3, [40])
    frame, references = measured(runs, store)
    per_run = scores.per_run_metrics(frame, references)
    assert per_run["forgetting"].isna().all(), "not every step was scored"
    table = tables.main_table(tables.summary(per_run, tables.reference_means({3: references})))
    assert list(table.index) == ["Pretrained", "OPCM", "MagMax", "Individual"]
    assert list(table[("3 tasks", "orders")]) == ["", "2", "1", ""]
    opcm = per_run[per_run.label == "OPCM"].acc
    assert table.loc["OPCM", ("3 tasks", "ACC")] == f"{opcm.mean():.1f} ± {opcm.std(ddof=1):.1f}"
    assert "±" not in table.loc["MagMax", ("3 tasks", "ACC")], "one order has no deviation"
    assert tables.to_latex(table).count(r"\\") == 6 and "| OPCM" in tables.to_markdown(table)
