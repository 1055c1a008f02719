"""Which parameters are linear: the module, the configuration or patterns decide, nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import GPT2Config, GPT2Model

from cmmlib import ContinualMerger, merge

from ..helpers.models import State, same


@pytest.mark.parametrize(
    ("method", "params"), [("opcm", {}), ("dop", {"num_steps": 5, "lr": 1e-2}), ("dop", {"solver": "exact"})]
)
@pytest.mark.parametrize("space", ["u", "uv"])
def test_transposed_conv1d_weights_equal_a_linear_twin(
    method: str, params: dict, space: str, perturbed: Callable, tmp_path: Path
):
    torch.manual_seed(0)
    gpt = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    if method == "dop":
        params = {**params, "svd_proj_space": space}
    base = {key: tensor.clone() for key, tensor in gpt.state_dict().items()}
    models = [perturbed(base, seed) for seed in (1, 2, 3)]
    conv = [key for key in base if key.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))]
    assert len(conv) == 4

    def twin(state: State) -> State:
        return {key: tensor.T.contiguous() if key in conv else tensor for key, tensor in state.items()}

    merged = merge(gpt, models, method=method, **params)
    expected = merge(twin(base), [twin(model) for model in models], method=method, linear=conv, **params)
    assert all(torch.allclose(merged[key], twin(expected)[key], atol=1e-6) for key in base)
    gpt.save_pretrained(tmp_path / "gpt")
    assert same(merge(tmp_path / "gpt", models, method=method, **params), merged)


def test_patterns_alone_decide_where_given(toy: tuple):
    base, models = toy
    assert same(merge(base, models, linear=["fc.*"]), merge(base, models, linear="fc.weight"))
    none = merge(base, models, linear=[])
    assert not torch.equal(none["fc.weight"], merge(base, models, linear=["fc.*"])["fc.weight"])
    with pytest.raises(ValueError, match=r"linear='layer\.\*' matches no 2-D or 3-D tensor of base .*'fc.weight'"):
        ContinualMerger(base, "opcm", linear=["layer.*"])


def test_a_matrix_that_nothing_decides_is_an_error_that_says_so(toy: tuple, golden: Path, tmp_path: Path):
    base, models = toy
    for method in ("opcm", "dop"):
        with pytest.raises(
            ValueError, match=r"cannot tell whether 'fc.weight' is the weight of a linear layer.*config\.json.*linear="
        ):
            ContinualMerger(base, method)
    lone = tmp_path / "base.safetensors"
    save_file(base, lone)
    with pytest.raises(ValueError, match=r"base\.safetensors: cannot tell"):
        ContinualMerger(lone, "opcm")
    for method in ("weight_average", "task_arithmetic", "ties", "magmax"):  # they treat all parameters alike
        assert len(merge(base, models, method=method)) == 2


def test_modules_decide_for_linear_layers_embeddings_convolutions_and_buffers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.conv, self.fc = nn.Embedding(5, 4), nn.Conv1d(4, 4, 1), nn.Linear(4, 3)
            self.free = nn.Parameter(torch.randn(2, 2))
            self.register_buffer("mask", torch.randn(3, 3))

    merger = ContinualMerger(Net(), "opcm")
    linear = {key for key, kind in merger.recipe.kinds.items() if kind == "linear"}
    assert linear == {"fc.weight"}
    assert (
        merger.recipe.kinds["free"] == "free"
        and merger.recipe.kinds["embed.weight"] == merger.recipe.kinds["mask"] == "other"
    )


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no_such_architecture"},
        {},
        {"model_type": "gpt2", "n_head": "many"},
        {"model_type": "clip"},
        {"model_type": "gpt2", "architectures": ["GPT2Config"], "n_layer": "x"},
    ],
)
def test_a_configuration_that_cannot_be_built_is_named(config: dict, toy: tuple, tmp_path: Path):
    base, models = toy
    save_file(base, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"(?s)config\.json does not describe a model .*linear="):
        ContinualMerger(tmp_path, "opcm")
    assert merge(tmp_path, models, linear=["fc.weight"])


@pytest.mark.parametrize("architecture", ["GPT2Config", "logging", "pipeline", "set_seed", "GPT2Tokenizer"])
def test_only_model_classes_are_built_from_a_configuration(
    architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    gpt = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    gpt.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    monkeypatch.setattr(transformers, "set_seed", lambda *_: pytest.fail("called"))
    layers = ContinualMerger(tmp_path, "opcm").recipe.layers
    assert any(layer.transposed for layer in layers.values())  # falls back on the model type's own class
