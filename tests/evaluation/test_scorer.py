"""Scoring: the predictions of a plain loop over single images, however many towers share a pass."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from cmmlib.evaluation import ZeroShotScorer, batches
from cmmlib.suites.mini.suite import MiniSuite


def plain(suite, base, tower, task):
    """Predictions by the formula, one image and one prompt at a time."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(base).eval()
    if tower is not None:
        own = {name.removeprefix("vision_model."): tensor for name, tensor in tower.items()}
        model.vision_model.load_state_dict(own)
    tokenizer, processor = AutoTokenizer.from_pretrained(base), CLIPImageProcessorPil.from_pretrained(base)
    spec = next(t for t in suite.tasks if t.name == task)
    with torch.no_grad():
        head = []
        for name in spec.class_names:
            prompts = [tokenizer(t.format(name), return_tensors="pt") for t in spec.templates]
            head.append(torch.cat([normalize(model.get_text_features(**p).pooler_output, dim=1) for p in prompts]).mean(0))
        head = normalize(torch.stack(head), dim=1)
        found = []
        for image in suite.test_set(task)["image"]:
            pixels = processor(image.convert("RGB"), return_tensors="pt")
            features = normalize(model.get_image_features(**pixels).pooler_output, dim=1)
            found.append(int((model.logit_scale.exp() * features @ head.T).argmax()))
    return torch.tensor(found)


@pytest.mark.parametrize("name", ["pretrained", "noise 1"])
@pytest.mark.parametrize("task", ["signs", "moods"])
def test_predictions_are_those_of_a_loop_over_single_images(suite, scorer, base, towers, name, task):
    expected = plain(suite, base, towers[name], task)
    assert torch.equal(scorer.predict(towers[name], task), expected)
    labels = torch.tensor(suite.test_set(task)["label"])
    assert scorer.score(towers[name], [task])[task] == (int((expected == labels).sum()), len(labels))


def test_predictions_on_the_mini_suite_are_those_of_a_loop():
    class Mini(MiniSuite):
        def test_set_key(self, task):
            return f"{self.content_hash(self.backbones[0])} {task}"

    mini, task = Mini(), "mnist"
    tower = load_file(f"{mini.checkpoint(mini.backbones[0], task)}/model.safetensors")
    predicted = ZeroShotScorer(mini, mini.backbones[0]).predict(tower, task)
    assert torch.equal(predicted, plain(mini, mini.base(mini.backbones[0]), tower, task))


@pytest.mark.parametrize("together", [None, 1, 2])
def test_towers_in_one_pass_score_as_they_do_one_by_one(scorer, towers, together):
    wanted = {"pretrained": ["moods"], "noise 1": ["signs", "moods"], "noise 2": []}
    alone = {key: scorer.score(towers[key], names) for key, names in wanted.items()}
    assert scorer.score_many(towers, wanted, together=together) == alone
    assert list(alone["noise 1"]) == ["signs", "moods"] and alone["noise 2"] == {}


def test_towers_in_one_pass_have_each_batch_read_once(scorer, towers, monkeypatch):
    reads, normalised = [], batches.normalised
    monkeypatch.setattr(batches, "normalised", lambda *a: reads.append(1) or normalised(*a))
    scorer.score_many(towers, {key: ["signs"] for key in towers}, together=3)
    assert len(reads) == 3  # 10 images, 4 a batch


def test_a_mapping_of_models_is_asked_for_a_group_at_a_time(scorer, towers, monkeypatch):
    events = []

    class Lazy(dict):
        def __getitem__(self, key):
            events.append(key)
            return super().__getitem__(key)

    head = scorer.head  # each pass over a task's images asks for it once
    monkeypatch.setattr(scorer, "head", lambda task: events.append("pass") or head(task))
    scorer.score_many(Lazy(towers), {key: ["moods"] for key in towers}, together=2)
    assert events == ["pretrained", "noise 1", "pass", "noise 2", "pass"]


def test_scores_wanted_of_no_model_are_an_error(scorer):
    with pytest.raises(ValueError, match=r"not given: .'b'"):
        scorer.score_many({"a": None}, {"b": ["signs"]})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_an_error(suite):
    with pytest.raises(ValueError, match="no CUDA device"):
        ZeroShotScorer(suite, suite.backbones[0], device="cuda")


def test_labels_beyond_the_classes_are_an_error(suite, scorer, monkeypatch):
    data = suite.test_set("signs")  # three classes
    monkeypatch.setattr(suite, "test_set", lambda task: data)
    with pytest.raises(ValueError, match="test set of moods has labels outside 0 … 1"):
        scorer.score(None, ["moods"])
