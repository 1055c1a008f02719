"""What is exported opens with from_pretrained, in the installed transformers and in an older one where one is named.

``CMMLIB_TRANSFORMERS4`` may name the Python of an environment with transformers 4 (see ``make export-test``).
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel, GPT2Config, GPT2LMHeadModel

from cmmlib import ContinualMerger

GOLDEN = Path(__file__).parents[1] / "golden"
OLDER = os.environ.get("CMMLIB_TRANSFORMERS4")
TINY = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, projection_dim=8)

SCRIPT = """
import hashlib, json, sys
import torch, transformers
cls = getattr(transformers, sys.argv[2])
model, info = cls.from_pretrained(sys.argv[1], output_loading_info=True)
faults = {key: sorted(map(str, value)) for key, value in info.items() if value}
state = {key.removeprefix("vision_model."): x for key, x in model.state_dict().items() if not key.endswith("position_ids")}
digest = hashlib.sha256()
for key in sorted(state):
    digest.update(key.encode() + state[key].float().contiguous().numpy().tobytes())
print(json.dumps([transformers.__version__.split(".")[0], faults, digest.hexdigest()]))
"""


def digest(tensors: dict[str, Tensor]) -> str:
    import hashlib

    found = hashlib.sha256()
    bare = {key.removeprefix("vision_model."): x for key, x in tensors.items() if not key.endswith("position_ids")}
    for key in sorted(bare):
        found.update(key.encode() + bare[key].float().contiguous().numpy().tobytes())
    return found.hexdigest()


PYTHONS = [
    pytest.param(sys.executable, "5", id="installed"),
    pytest.param(OLDER, "4", id="older", marks=pytest.mark.skipif(not OLDER, reason="CMMLIB_TRANSFORMERS4 names no Python")),
]


def opened(python: str, folder: Path, cls: str) -> list:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", SCRIPT, folder, cls], env=environment | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A tiny whole CLIP model with processor files, and two models fine-tuned from it, as folders."""
    torch.manual_seed(0)
    text = dict(**TINY, vocab_size=50, max_position_embeddings=8, eos_token_id=2, bos_token_id=1, pad_token_id=0)
    base = CLIPModel(CLIPConfig(vision_config=dict(**TINY, image_size=8, patch_size=4), text_config=text, projection_dim=8))
    root = tmp_path_factory.mktemp("whole")
    models = []
    for name in ("base", "one", "two"):
        model = copy.deepcopy(base)
        if name != "base":
            with torch.no_grad():
                for parameter in model.parameters():  # the text tower too: it must not matter
                    parameter.add_(0.002 * torch.randn_like(parameter))
        model.save_pretrained(root / name)
        models.append(root / name)
    (root / "base" / "preprocessor_config.json").write_text('{"do_resize": true}')
    (root / "base" / "vocab.json").write_text("{}")
    (root / "base" / "modeling_evil.py").write_text("raise SystemExit")
    return models[0], models[1:]


@pytest.fixture
def merger(whole: tuple[Path, list[Path]], tmp_path: Path) -> ContinualMerger:
    base, models = whole
    ContinualMerger(base, "opcm").save(tmp_path / "state")
    return ContinualMerger.load(tmp_path / "state").add(models[0]).add(models[1])


@pytest.mark.parametrize(("python", "version"), PYTHONS)
@pytest.mark.parametrize("shards", [1, 4])
def test_a_vision_tower_opens(python: str, version: str, shards: int, merger: ContinualMerger, tmp_path: Path):
    size = sum(x.nbytes for x in merger.merged().values())
    out = merger.export(tmp_path / "out", max_shard_bytes=10**9 if shards == 1 else size // 3)
    weights = sorted(path.name for path in out.glob("*.safetensors"))
    assert (weights == ["model.safetensors"]) == (shards == 1) and len(weights) >= shards - 1
    assert opened(python, out, "CLIPVisionModel") == [version, {}, digest(merger.merged())]


@pytest.mark.parametrize(("python", "version"), PYTHONS)
def test_a_whole_model_opens_with_the_bases_text_tower(
    python: str, version: str, merger: ContinualMerger, whole: tuple, tmp_path: Path
):
    out = merger.export(tmp_path / "out", whole=True)
    base = load_file(whole[0] / "model.safetensors")
    expected = {**{key: x for key, x in base.items() if not key.startswith("vision_model.")}, **merger.merged()}
    assert load_file(out / "model.safetensors").keys() == base.keys()
    assert opened(python, out, "CLIPModel") == [version, {}, digest(expected)]


def test_sharded_exports_are_models_to_merge_again(merger: ContinualMerger, tmp_path: Path):
    out = merger.export(tmp_path / "out", max_shard_bytes=6_000)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {path.name for path in out.glob("*.safetensors")}
    for file in index["weight_map"].values():
        assert sum(tensor.nbytes for tensor in load_file(out / file).values()) <= 6_000
    merged = merger.merged()
    with pytest.raises(ValueError, match="equals the base"):
        ContinualMerger(out, "weight_average").add(merged)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_is_the_one_asked_for(dtype: torch.dtype, merger: ContinualMerger, tmp_path: Path):
    out = merger.export(tmp_path / "out", dtype=dtype)
    stored = load_file(out / "model.safetensors")
    expected = merger.merged(dtype)
    assert stored.keys() == expected.keys() and all(torch.equal(stored[key], expected[key]) for key in stored)
    assert CLIPVisionModel.from_pretrained(out).dtype == dtype


def test_the_folder_holds_processor_files_and_a_card_and_no_code(merger: ContinualMerger, tmp_path: Path):
    out = merger.export(tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "vocab.json",
    ]
    card = (out / "README.md").read_text()
    header = card.split("---\n")[1]
    assert "license:\n" in header
    for model in merger.standing.models:
        assert model["name"] in card and model["hash"] in card
    assert merger.recipe.base_hash in card and "alpha = 0.5" in card and "`opcm`" in card
    assert card.index("one") < card.index("two")


def test_names_do_not_break_the_card(whole: tuple, tmp_path: Path):
    merger = ContinualMerger(whole[0], "weight_average").add(whole[1][0], name="a|b\n---\n<script>`x`")
    card = (merger.export(tmp_path / "out") / "README.md").read_text()
    assert card.count("\n---\n") == 1 and "<script>" not in card.replace("\\<", "") and "a\\|b" in card


def test_gpt2_with_tied_weights_opens_however_the_model_was_saved(tmp_path: Path):
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(
        GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11, bos_token_id=1, eos_token_id=2)
    )
    gpt.save_pretrained(tmp_path / "base")  # one copy of the tied matrix
    tuned = copy.deepcopy(gpt)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.002 * torch.randn_like(parameter))
    (tmp_path / "bin").mkdir()
    torch.save(tuned.state_dict(), tmp_path / "bin" / "pytorch_model.bin")  # both names, one storage
    tuned.save_pretrained(tmp_path / "one")
    copies = {key: x.clone() for key, x in tuned.state_dict().items()}  # both names, two storages
    other = {key: x for key, x in copies.items() if key != "transformer.wte.weight"}  # the other name alone
    expected = ContinualMerger(tmp_path / "base", "opcm").add(tmp_path / "one").merged()
    for base in (tmp_path / "base", gpt):
        for model in (tmp_path / "bin", copies, tuned, *([other] if base is gpt else [])):
            merged = ContinualMerger(base, "opcm").add(model).merged()
            assert all(torch.equal(merged[key], expected[key]) for key in expected)
    assert torch.equal(merged["lm_head.weight"], merged["transformer.wte.weight"])
    out = ContinualMerger(tmp_path / "base", "opcm").add(tmp_path / "bin").export(tmp_path / "out")
    model, info = GPT2LMHeadModel.from_pretrained(out, output_loading_info=True)
    assert not any(info.values()) and torch.equal(model.lm_head.weight, expected["transformer.wte.weight"])


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(whole: tuple, tmp_path: Path):
    base, models = whole
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    merger = ContinualMerger(base, "weight_average")
    with pytest.raises(ValueError, match="nothing to export"):
        merger.export(tmp_path / "out")
    merger.add(models[0])
    with pytest.raises(FileExistsError, match="full exists and is not empty"):
        merger.export(tmp_path / "full")
    tower = ContinualMerger(GOLDEN / "base.safetensors", "weight_average").add(GOLDEN / "task0.safetensors")
    with pytest.raises(ValueError, match="is not a whole CLIP model"):
        tower.export(tmp_path / "out", whole=True)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_exported_base_with_another_text_tower_is_noticed(whole: tuple, tmp_path: Path):
    base, models = whole
    merger = ContinualMerger(base, "weight_average").add(models[0])
    merger.save(tmp_path / "state")
    swapped = load_file(base / "model.safetensors")
    swapped["logit_scale"] += 1
    with pytest.raises(ValueError, match="another text tower"):
        ContinualMerger.load(tmp_path / "state", base=_folder(tmp_path / "swapped", base, swapped)).export(
            tmp_path / "out", whole=True
        )
    assert not (tmp_path / "out").exists()


def _folder(target: Path, base: Path, tensors: dict[str, Tensor]) -> Path:
    from safetensors.torch import save_file

    target.mkdir()
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_bytes((base / "config.json").read_bytes())
    return target


# ---------------------------------------------------------------------------------------------- LoRA adapters


def _adapter(folder: Path, rank: int = 2, config: dict | None = None, extra: dict[str, Tensor] | None = None) -> Path:
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(rank)
    folder.mkdir()
    base = load_file(GOLDEN / "base.safetensors")
    tensors = dict(extra or {})
    for module in ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1"):
        out, inner = base[f"vision_model.{module}.weight"].shape
        name = f"base_model.model.vision_model.{module}"
        tensors[f"{name}.lora_A.weight"] = 0.1 * torch.randn(rank, inner, generator=generator)
        tensors[f"{name}.lora_B.weight"] = 0.1 * torch.randn(out, rank, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "lora_alpha": 6, "r": rank, "fan_in_fan_out": False, **(config or {})}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, (3, 3)),
        ({"use_rslora": True}, (6 / 2**0.5, 6 / 2**0.5)),
        ({"alpha_pattern": {"mlp.fc1": 4}}, (3, 2)),
        ({"init_lora_weights": "gaussian"}, (3, 3)),
    ],
)
def test_an_adapter_is_its_delta_applied_to_the_base(config: dict, scales: tuple, tmp_path: Path):
    adapter = _adapter(tmp_path / "lora", config=config)
    parts = load_file(adapter / "adapter_model.safetensors")
    expected = load_file(GOLDEN / "base.safetensors")
    modules = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1")
    for module, scale in zip(modules, scales, strict=True):
        name = f"base_model.model.vision_model.{module}"
        delta = parts[f"{name}.lora_B.weight"] @ parts[f"{name}.lora_A.weight"] * scale
        expected[f"vision_model.{module}.weight"] += delta
    merged = ContinualMerger(GOLDEN / "base.safetensors", "weight_average").add(adapter).merged()
    assert all(torch.allclose(merged[key], expected[key], atol=1e-6) for key in expected)


def test_whole_tensors_of_an_adapter_replace_the_bases(tmp_path: Path):
    bias = "vision_model.encoder.layers.0.mlp.fc1.bias"
    own = load_file(GOLDEN / "task0.safetensors")[bias]
    adapter = _adapter(tmp_path / "lora", extra={f"base_model.model.{bias}": own})
    merged = ContinualMerger(GOLDEN / "base.safetensors", "weight_average").add(adapter).merged()
    assert torch.allclose(merged[bias], own, atol=1e-7)


def test_adapters_of_transposed_weights(tmp_path: Path):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    a, b = torch.randn(2, 8), 0.01 * torch.randn(24, 2)
    name = "transformer.h.0.attn.c_attn"
    (tmp_path / "lora").mkdir()
    tensors = {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
    save_file(tensors, tmp_path / "lora" / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "lora_alpha": 2, "r": 2, "fan_in_fan_out": True}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(settings))
    merged = ContinualMerger(gpt, "weight_average").add(tmp_path / "lora").merged()
    assert torch.allclose(merged[f"{name}.weight"], gpt.state_dict()[f"{name}.weight"] + (b @ a).T, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, r"adapter_config\.json: peft_type is 'IA3', only LORA is read"),
        ({"use_dora": True}, "use_dora makes this more than plain LoRA"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' changes the base's own weights"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "alpha_pattern holds the regular expression"),
        ({"lora_alpha": "six"}, "lora_alpha or alpha_pattern holds no number"),
        ({"fan_in_fan_out": True}, r"its matrices for 'encoder\.layers\.1\.mlp\.fc1\.weight' make .*is it an adapter"),
    ],
)
def test_adapters_that_are_not_plain_lora_of_this_base_are_refused(config: dict, message: str, tmp_path: Path):
    merger = ContinualMerger(GOLDEN / "base.safetensors", "weight_average")
    with pytest.raises(ValueError, match=message):
        merger.add(_adapter(tmp_path / "lora", config=config))
    assert len(merger) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"base_model.model.vision_model.nosuch.lora_A.weight": torch.ones(2, 3)}, "adapts 'vision_model.nosuch.weight'"),
        ({"base_model.model.vision_model.embeddings.lora_embedding_A": torch.ones(2, 3)}, "is no LoRA of a matrix"),
        ({"base_model.model.vision_model.encoder.layers.0.mlp.fc2.lora_A.weight": torch.ones(2, 3)}, "lacks lora_B for"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(extra: dict[str, Tensor], message: str, tmp_path: Path):
    merger = ContinualMerger(GOLDEN / "base.safetensors", "weight_average")
    with pytest.raises(ValueError, match=message):
        merger.add(_adapter(tmp_path / "lora", extra=extra))


def test_an_adapter_is_known_again_and_is_no_base(tmp_path: Path):
    ContinualMerger(GOLDEN / "base.safetensors", "weight_average").save(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state").add(_adapter(tmp_path / "lora"))
    with pytest.raises(ValueError, match="merged before"):
        merger.add(tmp_path / "lora")
    merger.add(_adapter(tmp_path / "other", config={"lora_alpha": 7}))
    with pytest.raises(ValueError, match="is an adapter, which cannot be a base"):
        ContinualMerger(tmp_path / "lora", "weight_average")


# ---------------------------------------------------------------------------------------------- mixed dtypes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_merged_in_float32(dtype: torch.dtype, tmp_path: Path):
    from safetensors.torch import save_file

    base, models = load_file(GOLDEN / "base.safetensors"), [load_file(GOLDEN / f"task{i}.safetensors") for i in range(2)]
    halves = [{key: x.to(dtype) for key, x in state.items()} for state in (base, models[0])]
    save_file(halves[0], tmp_path / "base.safetensors")
    merger = ContinualMerger(tmp_path / "base.safetensors", "weight_average").add(halves[1]).add(models[1])
    merger.save(tmp_path / "state")
    assert {x.dtype for x in load_file(tmp_path / "state" / "running-2.safetensors").values()} == {torch.float32}
    merged = merger.merged(torch.float32)
    expected = {key: (halves[1][key].float() + models[1][key]) / 2 for key in base}
    assert all(torch.allclose(merged[key], expected[key], atol=1e-6) for key in base)
    assert {x.dtype for x in merger.merged().values()} == {dtype}
