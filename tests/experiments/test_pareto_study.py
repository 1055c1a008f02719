"""What the study of the Pareto front takes from models and test sets, on the mini suite's base with test sets of noise."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cmmlib.evaluation import ZeroShotScorer
from cmmlib.experiments import layer_inputs, old_and_new, output_changes, task_vectors
from cmmlib.suites.mini.suite import MiniSuite

from ..evaluation.fake_suite import FakeSuite

KEY = "encoder.layers.0.mlp.fc1.weight"


@pytest.fixture
def scorer(tmp_path, monkeypatch):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    backbone = MiniSuite().backbones[0]
    return ZeroShotScorer(FakeSuite(MiniSuite().base(backbone)), backbone)


def test_task_vectors_are_what_a_model_adds():
    base = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}
    model = {"fc.weight": torch.full((2, 3), 3.0), "fc.bias": torch.ones(2)}
    (found,) = task_vectors(base, model, ["fc.weight"]).items()
    assert found[0] == "fc.weight" and torch.equal(found[1], torch.full((2, 3), 2.0))


class Scores:
    """A scorer that knows its accuracies."""

    class Score:
        def __init__(self, accuracy):
            self.accuracy = accuracy

    def score(self, tensors, tasks):
        return {task: self.Score(accuracy) for task, accuracy in zip(tasks, tensors, strict=True)}


def test_old_tasks_are_averaged_and_all_count_alike():
    scored = old_and_new(Scores(), {0.5: [10, 20, 90], "OPCM": [30, 30, 30]}, ["a", "b", "new"])
    assert list(scored.columns) == ["old tasks", "new task", "all tasks"]
    assert list(scored.loc[0.5]) == [15, 90, 40] and list(scored.loc["OPCM"]) == [30, 30, 30]


def test_labels_of_several_parts_give_a_level_each():
    scored = old_and_new(Scores(), {("u", "sqrt"): [1, 2], ("u", "mean"): [3, 4], ("v", "sqrt"): [5, 6]}, ["a", "new"])
    assert scored["all tasks"].unstack().loc["u"].to_dict() == {"mean": 3.5, "sqrt": 1.5}


def test_layer_inputs_are_what_the_layer_is_given(scorer):
    inputs = layer_inputs(scorer, ["signs", "moods"], [KEY], 3)
    assert inputs.keys() == {"signs", "moods"}
    x = inputs["signs"][KEY]
    width = load_file(f"{scorer.suite.base(scorer.backbone)}/model.safetensors")[f"vision_model.{KEY}"].shape[1]
    assert x.shape[0] == 3 and x.shape[-1] == width and x.dtype == torch.float32
    assert not torch.equal(x[0], x[1])
    (again,) = layer_inputs(scorer, ["signs"], [KEY], 2).values()
    torch.testing.assert_close(again[KEY], x[:2])


def test_output_changes_have_a_row_per_model_and_layer():
    weights = {"one": torch.zeros(2, 3), "two": torch.zeros(1, 3)}
    models = {"same": weights, 0.5: {"one": torch.ones(2, 3), "two": torch.full((1, 3), 2.0)}}
    inputs = {task: {key: torch.ones(4, 3) for key in weights} for task in ("a", "b")}
    changes = output_changes(weights, models, inputs, ["a"])
    assert list(changes["model"]) == ["same", "same", 0.5, 0.5] and list(changes["layer"]) == ["one", "two"] * 2
    np.testing.assert_allclose(changes["change"], [0, 0, 2 * 9, 36])
