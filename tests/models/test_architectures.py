"""Folders, modules and both together, of one architecture, merge to the same model, which ``from_pretrained`` opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import MixtralForCausalLM

from cmmlib import ContinualMerger
from cmmlib.models.architecture import Architecture

from ..helpers.architectures import ARCHITECTURES, built, furthest, loaded, saved, tuned

METHODS = {"weight_average": {}, "ties": {}, "opcm": {}, "dop": {"solver": "exact"}}

pytestmark = pytest.mark.filterwarnings("ignore:.*statistics of BatchNorm")


@pytest.fixture(params=ARCHITECTURES)
def models(request: pytest.FixtureRequest, tmp_path: Path) -> tuple:
    """A base and two models of it, as modules and as folders."""
    base = built(request.param)
    modules = [base, tuned(base, 1), tuned(base, 2)]
    return modules, [saved(module, tmp_path / f"saved-{number}") for number, module in enumerate(modules)]


def merged(sources: list, method: str, folder: Path) -> Path:
    merger = ContinualMerger(sources[0], method, **METHODS[method])
    for model in sources[1:]:
        merger.add(model)
    return merger.export(folder)


def test_folders_modules_and_both_give_one_model_that_opens(models: tuple, tmp_path: Path):
    modules, folders = models
    ways = {
        "modules": modules,
        "a folder and modules": [folders[0], *modules[1:]],
        "a module and folders": [modules[0], *folders[1:]],
    }
    for method in METHODS:
        expected = loaded(modules[0], merged(folders, method, tmp_path / method))
        assert furthest(expected, loaded(modules[0], folders[0])) > 1e-4, "nothing was merged"
        for way, sources in ways.items():
            found = loaded(modules[0], merged(sources, method, tmp_path / f"{method}, {way}"))
            assert furthest(found, expected) < 1e-5, (method, way)


def test_what_is_exported_is_stored_as_the_base_is(models: tuple, tmp_path: Path):
    modules, folders = models
    stored = []
    for base in (folders[0], modules[0]):
        folder = merged([base, *folders[1:]], "weight_average", tmp_path / f"from a {type(base).__name__}")
        for place in (folders[0], folder):
            with safe_open(place / "model.safetensors", "pt") as file:
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            # a CLIP tower's names get the prefix that transformers 4 expects too
            stored.append({name.removeprefix("vision_model."): shape for name, shape in shapes.items()})
    assert all(names == stored[0] for names in stored)


@pytest.mark.parametrize("method", METHODS)
def test_two_layouts_of_one_model_give_one_result(method: str, tmp_path: Path):
    base = built("Mixtral")
    results = []
    for layout in ({}, {"save_original_format": False}):
        models = [base, tuned(base, 1), tuned(base, 2)]
        folders = [saved(m, tmp_path / f"{len(results)}-{n}", **layout) for n, m in enumerate(models)]
        results.append(loaded(base, merged(folders, method, tmp_path / f"merged-{len(results)}")))
    assert furthest(*results) < 1e-6


def test_models_in_another_layout_than_the_base(tmp_path: Path):
    base = built("Qwen2-MoE")
    models = [tuned(base, seed) for seed in (1, 2)]
    apart, stacked = ({}, {"save_original_format": False})
    plain = [saved(base, tmp_path / "base", **apart), *(saved(m, tmp_path / f"a{i}", **apart) for i, m in enumerate(models))]
    other = [plain[0], *(saved(m, tmp_path / f"s{i}", **stacked) for i, m in enumerate(models))]
    turned = [saved(base, tmp_path / "stacked base", **stacked), *plain[1:]]
    expected = loaded(base, merged(plain, "opcm", tmp_path / "expected"))
    for number, sources in enumerate((other, turned)):
        assert furthest(loaded(base, merged(sources, "opcm", tmp_path / f"merged-{number}")), expected) < 1e-6


def test_experts_and_routers_are_linear_layers_of_their_own():
    layers = Architecture(built("Mixtral")).layers
    experts = layers["model.layers.0.mlp.experts.gate_up_proj"]
    assert (experts.kind, experts.stacked, experts.rows) == ("linear", 1, (32, 32))
    assert experts.shapes((3, 64, 16)) == 6 * [(32, 16)]
    down = layers["model.layers.0.mlp.experts.down_proj"]
    assert (down.kind, down.shapes((3, 16, 32))) == ("linear", 3 * [(16, 32)])
    assert layers["model.layers.0.mlp.gate.weight"].kind == "linear"
    assert layers["model.embed_tokens.weight"].kind == "other"
    transposed = Architecture(built("GPT-OSS")).layers["model.layers.0.mlp.experts.gate_up_proj"]
    assert transposed.transposed and not transposed.rows, "gate and up alternate there: one layer an expert"


def test_fused_attention_is_three_layers_and_gates_are_one_each():
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.rnn = torch.nn.TransformerEncoderLayer(8, 2, 16), torch.nn.LSTM(8, 6)

    merger = ContinualMerger(Net(), "opcm")
    layers = merger.recipe.layers
    assert layers["layer.self_attn.in_proj_weight"].shapes((24, 8)) == 3 * [(8, 8)]
    assert layers["rnn.weight_ih_l0"].shapes((24, 8)) == 4 * [(6, 8)]
    assert merger.recipe.composition["linear_layers"] == 3 + 3 + 4 + 4
    apart = torch.nn.MultiheadAttention(8, 2, kdim=4, vdim=4)
    assert {n: layer.kind for n, layer in Architecture(apart).layers.items() if n.endswith("_weight")} == {
        "q_proj_weight": "linear",
        "k_proj_weight": "linear",
        "v_proj_weight": "linear",
    }


def test_a_fused_parameter_merges_as_its_parts_do():
    torch.manual_seed(0)
    whole = [torch.randn(24, 8) for _ in range(3)]

    class Fused(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = torch.nn.MultiheadAttention(8, 2, bias=False)

    fused = []
    for weight in whole:
        fused.append(Fused().requires_grad_(False))
        fused[-1].attn.in_proj_weight.copy_(weight)
        fused[-1].attn.out_proj.weight.zero_()
    apart = [{f"{n}.weight": part for n, part in zip("qkv", weight.split(8), strict=True)} for weight in whole]
    for method in ("opcm", "dop"):
        params = METHODS[method]
        one = ContinualMerger(fused[0], method, **params).add(fused[1]).add(fused[2]).merged()["attn.in_proj_weight"]
        three = ContinualMerger(apart[0], method, linear="*.weight", **params).add(apart[1]).add(apart[2]).merged()
        assert torch.allclose(one, torch.cat([three[f"{n}.weight"] for n in "qkv"]), atol=1e-6), method


def test_patterns_do_not_change_how_a_layer_is_stored(tmp_path: Path):
    base = built("GPT-2")
    folders = [saved(m, tmp_path / f"{n}") for n, m in enumerate((base, tuned(base, 1), tuned(base, 2)))]
    patterns = ["*.c_attn.weight", "*.c_proj.weight", "*.c_fc.weight"]
    results = []
    for linear in (None, patterns):
        merger = ContinualMerger(folders[0], "opcm", linear=linear).add(folders[1]).add(folders[2])
        results.append(loaded(base, merger.export(tmp_path / f"linear={bool(linear)}")))
    assert furthest(*results) == 0


def test_elementwise_merges_of_folders_never_import_transformers(tmp_path: Path):
    base = built("Mixtral")
    folders = [saved(m, tmp_path / f"{n}") for n, m in enumerate((base, tuned(base, 1)))]
    script = (
        "import sys, cmmlib; cmmlib.ContinualMerger(sys.argv[1], 'ties').add(sys.argv[2]).export(sys.argv[3]); "
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, folders), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "False", done.stderr
    assert isinstance(base, MixtralForCausalLM) and loaded(base, tmp_path / "out")
