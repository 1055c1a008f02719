"""From tidy scores to the array and the metrics of every run."""

import numpy as np
import pandas as pd
import pytest

from cmmlib.analysis.runs import accuracy_array, per_run_metrics, per_step_metrics

ORDERS = {40: ["c", "a", "d", "b"], 41: ["a", "b", "c", "d"]}
REFERENCES = pd.DataFrame(
    {"pretrained": [40.0, 55.0, 61.0, 30.0], "individual": [90.0, 99.0, 80.0, 75.0]},
    index=pd.Index(["a", "b", "c", "d"], name="task"),
)


def measured(label, seed, R):
    order = ORDERS[seed]
    rows = [
        (label, len(order), seed, step, order[step - 1], position, task, R[step - 1, position - 1])
        for step in range(1, len(order) + 1)
        for position, task in enumerate(order, 1)
        if not np.isnan(R[step - 1, position - 1])
    ]
    columns = ["label", "num_tasks", "seed", "step", "merged", "position", "task", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def matrices():
    generator = np.random.default_rng(0)
    return {seed: generator.uniform(20, 90, (4, 4)) for seed in ORDERS}


@pytest.fixture
def scores(matrices):
    other = measured("MagMax", 41, np.full((4, 4), 50.0))
    return pd.concat([measured("OPCM", seed, R) for seed, R in reversed(matrices.items())] + [other], ignore_index=True)


def test_the_array_has_an_order_after_the_other_and_blanks_where_nothing_was_measured(scores, matrices):
    opcm = scores[scores.label == "OPCM"]
    np.testing.assert_array_equal(accuracy_array(opcm), [matrices[40], matrices[41]])
    holes = accuracy_array(opcm[(opcm.step == 4) | (opcm.position == opcm.step)])
    assert np.isnan(holes).sum() == 2 * 9
    np.testing.assert_array_equal(holes[:, -1], [matrices[40][-1], matrices[41][-1]])


@pytest.mark.parametrize("seed", ORDERS)
def test_metrics_of_a_run_are_those_of_its_matrix(scores, matrices, seed):
    per_run = per_run_metrics(scores, REFERENCES).set_index(["label", "seed"]).loc[("OPCM", seed)]
    R, bounds = matrices[seed], REFERENCES.loc[ORDERS[seed]]
    assert per_run["acc"] == pytest.approx(R[-1].mean())
    assert per_run["bwt"] == pytest.approx(np.mean(R[-1, :-1] - np.diag(R)[:-1]))
    assert per_run["normalized_acc"] == pytest.approx(100 * np.mean(R[-1] / bounds["individual"]))
    assert per_run["forward_transfer"] == pytest.approx(
        np.mean([R[i - 1, i] - bounds["pretrained"].iloc[i] for i in (1, 2, 3)])
    )


@pytest.mark.parametrize("seed", ORDERS)
def test_points_of_a_curve_are_means_over_what_was_merged_so_far_and_what_was_not(scores, matrices, seed):
    part = scores[(scores.label == "OPCM") & (scores.seed == seed)]
    R, bounds = matrices[seed], REFERENCES.loc[ORDERS[seed]]
    steps = per_step_metrics(part, REFERENCES)
    assert steps["seen"].tolist() == pytest.approx([R[t, : t + 1].mean() for t in range(4)])
    assert steps["unseen"].tolist()[:3] == pytest.approx([R[t, t + 1 :].mean() for t in range(3)])
    changes = [(R[t, t + 1 :] - bounds["pretrained"].to_numpy()[t + 1 :]).mean() for t in range(3)]
    assert steps["unseen_change"].tolist()[:3] == pytest.approx(changes)
    assert steps["individual"].tolist() == pytest.approx([bounds["individual"].iloc[: t + 1].mean() for t in range(4)])
    assert steps["pretrained"].tolist() == pytest.approx([bounds["pretrained"].iloc[: t + 1].mean() for t in range(4)])


def test_a_metric_is_blank_where_it_needs_steps_that_were_not_scored(scores):
    sparse = scores[(scores.step == 4) | (scores.position == scores.step)]
    per_run = per_run_metrics(sparse, REFERENCES)
    assert per_run[["acc", "bwt", "plasticity", "normalized_acc"]].notna().all(axis=None)
    assert per_run[["forgetting", "forward_transfer"]].isna().all(axis=None)
