"""Frames of what was measured, up to the metrics and the table that are made of them."""

import numpy as np
import pytest

import cmmlib
from cmmlib.analysis import tables
from cmmlib.analysis.runs import per_run_metrics, per_step_metrics
from cmmlib.experiments.frames import accuracies, reference_accuracies
from cmmlib.experiments.runs import plan
from cmmlib.experiments.store import Results

from ..helpers.golden_suite import SUITE, TASKS, execute, measure_references


@pytest.fixture
def store(tmp_path):
    return Results(tmp_path / "scores.sqlite")


def measured(runs, store):
    """(scores, references) of runs, once they are done."""
    for run in runs:
        execute(run, store)
    num_tasks = runs[0].num_tasks
    measure_references(num_tasks, store)
    return accuracies(SUITE, "tiny", runs, store), reference_accuracies(SUITE, "tiny", num_tasks, store)


def test_metrics_of_a_run_are_those_of_its_matrix(store):
    runs = plan({"OPCM": ("opcm", {}), "MagMax": ("magmax", {})}, 4, [40, 41], every_step=True)
    frame, references = measured(runs, store)
    per_run = per_run_metrics(frame, references).set_index(["label", "seed"]).loc[("OPCM", 41)]
    part = frame[(frame.label == "OPCM") & (frame.seed == 41)]
    R = part.pivot(index="step", columns="position", values="accuracy").to_numpy()
    bounds = references.loc[cmmlib.task_order(TASKS[:4], 41)]
    assert per_run["acc"] == pytest.approx(R[-1].mean())
    assert per_run["bwt"] == pytest.approx(np.mean(R[-1, :-1] - np.diag(R)[:-1]))
    assert per_run["normalized_acc"] == pytest.approx(100 * np.mean(R[-1] / bounds["individual"]))
    assert per_run["forward_transfer"] == pytest.approx(
        np.mean([R[i - 1, i] - bounds["pretrained"].iloc[i] for i in (1, 2, 3)])
    )
    steps = per_step_metrics(part, references)
    assert steps["seen"].tolist() == pytest.approx([R[t, : t + 1].mean() for t in range(4)])
    changes = [(R[t, t + 1 :] - bounds["pretrained"].to_numpy()[t + 1 :]).mean() for t in range(3)]
    assert steps["unseen_change"].tolist()[:3] == pytest.approx(changes)
    assert steps["individual"].tolist() == pytest.approx([bounds["individual"].iloc[: t + 1].mean() for t in range(4)])


def test_the_table_has_bounds_means_deviations_and_counts(store):
    runs = plan({"OPCM": ("opcm", {})}, 3, [40, 41]) + plan({"MagMax": ("magmax", {})}, 3, [40])
    frame, references = measured(runs, store)
    per_run = per_run_metrics(frame, references)
    assert per_run["forgetting"].isna().all(), "not every step was scored"
    table = tables.main_table(tables.summary(per_run, tables.reference_means({3: references})))
    assert list(table.index) == ["Pretrained", "OPCM", "MagMax", "Individual"]
    assert list(table[("3 tasks", "orders")]) == ["", "2", "1", ""]
    opcm = per_run[per_run.label == "OPCM"].acc
    assert table.loc["OPCM", ("3 tasks", "ACC")] == f"{opcm.mean():.1f} ± {opcm.std(ddof=1):.1f}"
    assert "±" not in table.loc["MagMax", ("3 tasks", "ACC")], "one order has no deviation"
    assert tables.to_latex(table).count(r"\\") == 6 and "| OPCM" in tables.to_markdown(table)


def test_references_that_were_not_measured_are_an_error(store):
    with pytest.raises(KeyError):
        reference_accuracies(SUITE, "tiny", 2, store)


def test_what_other_runs_have_scored_beside_it_changes_nothing(store):
    (run,) = plan({"OPCM": ("opcm", {})}, 4, [40])
    (last,) = plan({"OPCM": ("opcm", {})}, 4, [40], final=True)
    before = [measured([one], store)[0] for one in (run, last)]
    assert [len(frame) for frame in before] == [3 + 4, 4]
    measured(plan({"OPCM": ("opcm", {})}, 4, [40], every_step=True), store)
    for one, frame in zip((run, last), before, strict=True):
        assert accuracies(SUITE, "tiny", [one], store).equals(frame)
