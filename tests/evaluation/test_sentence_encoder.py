"""Sentence encoders: the predictions of a plain loop over single texts, and a head that stays the base's."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize
from transformers import ViTConfig

from cmmlib.evaluation import ZeroShotScorer
from cmmlib.evaluation.encoder import encoder_of
from cmmlib.experiments.regmean import tasks_moments
from cmmlib.suites.text.build import zoo
from cmmlib.suites.text.suite import TextSuite, zoo_dir

from ..suites.text.conftest import TASKS, tiny  # noqa: F401


@pytest.fixture
def suite(tiny):  # noqa: F811
    zoo.build(zoo_dir(), "MiniLM-L6", TASKS)
    return TextSuite()


def plain(suite, folder, task):
    """Predictions by the formula, one text and one prompt at a time, so that nothing is padded."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(suite.base("MiniLM-L6"))

    def embed(model, text):
        hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        return normalize(hidden[0].mean(0), dim=0)

    base, model = (AutoModel.from_pretrained(place).eval() for place in (suite.base("MiniLM-L6"), folder))
    with torch.no_grad():
        means = [torch.stack([embed(base, p) for p in task.prompts(i)]).mean(0) for i in range(len(task.class_names))]
        head = normalize(torch.stack(means), dim=1)
        return torch.stack([(embed(model, text) @ head.T).argmax() for text in suite.test_set(task.name)["text"]])


def test_predictions_are_those_of_a_loop_whatever_was_scored_before(suite):
    scorer = ZeroShotScorer(suite, "MiniLM-L6", batch_size=5)
    for task in TASKS:  # the second head is made when the module holds a fine-tuned encoder's parameters
        folder = suite.checkpoint("MiniLM-L6", task.name)
        from safetensors.torch import load_file

        tuned = load_file(f"{folder}/model.safetensors")
        assert torch.equal(scorer.predict(tuned, task.name), plain(suite, folder, task))
        assert torch.equal(scorer.predict(None, task.name), plain(suite, suite.base("MiniLM-L6"), task))


def test_layers_inputs_are_found_as_in_a_vision_tower(suite):
    scorer = ZeroShotScorer(suite, "MiniLM-L6")
    own = dict(scorer.own_tower)
    moments = tasks_moments(scorer, {task.name: own for task in TASKS})
    first = moments["any"]["encoder.layer.0.attention.self.query.weight"]
    assert first.shape == (32, 32) and torch.linalg.eigvalsh(first).min() > -1e-6
    assert not torch.equal(first, moments["indoors"]["encoder.layer.0.attention.self.query.weight"])


def test_what_is_neither_images_nor_texts_is_refused(tmp_path):
    ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"a vit is neither a CLIP model, for images, nor an encoder of texts"):
        encoder_of(str(tmp_path), torch.device("cpu"))
