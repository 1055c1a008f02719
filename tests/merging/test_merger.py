"""The merger: what it takes, what it gives, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel, GPT2Config, GPT2Model

import cmmlib
from cmmlib import ContinualMerger, merge

State = dict[str, Tensor]
PREFIX = "vision_model."
METHODS = ["weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop"]
QUICK = {"dop": {"num_steps": 3}}
TINY = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def without_prefix(state: State) -> State:
    return {key.removeprefix(PREFIX): tensor for key, tensor in state.items()}


@pytest.fixture(scope="module")
def folder(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Model folders as the hub has them, of the golden base and tasks."""
    root = tmp_path_factory.mktemp("models")

    def make(name: str) -> Path:
        target = root / name
        if not target.exists():
            target.mkdir()
            (target / "model.safetensors").write_bytes((golden / f"{name}.safetensors").read_bytes())
            (target / "config.json").write_bytes((golden / "config.json").read_bytes())
        return target

    return make


@pytest.fixture(scope="module")
def towers(golden: Path, clip_base: State, clip_models: list[State]) -> list[CLIPVisionModel]:
    """The golden base and its first two models as modules."""
    config = CLIPVisionConfig(**json.loads((golden / "config.json").read_text()))
    modules = []
    for state in (clip_base, *clip_models[:2]):
        module = CLIPVisionModel(config)
        expected = module.state_dict()
        module.load_state_dict({key: state[key if key in state else PREFIX + key] for key in expected})
        modules.append(module)
    return modules


# ---------------------------------------------------------------------------------------------- what it takes


@pytest.mark.parametrize("method", METHODS)
def test_folders_files_modules_and_mappings_are_one_and_the_same(
    method: str, golden: Path, folder: Callable, towers: list[nn.Module], clip_models: list[State]
):
    params = QUICK.get(method, {})
    expected = merge(folder("base"), [folder("task0"), folder("task1")], method=method, **params)
    as_files = merge(
        golden / "base.safetensors", [str(golden / f"task{i}.safetensors") for i in (0, 1)], method=method, **params
    )
    as_modules = merge(towers[0], towers[1:], method=method, **params)
    mixed = merge(folder("base"), [without_prefix(clip_models[0]), towers[2]], method=method, **params)
    assert all(key.startswith(PREFIX) for key in expected)
    assert same(expected, as_files) and same(expected, mixed)
    assert as_modules.keys() == towers[0].state_dict().keys() - {"embeddings.position_ids"}
    assert same(without_prefix(as_modules), without_prefix(expected))


def test_result_has_the_bases_own_names(clip_base: State, clip_models: list[State]):
    linear = ["*_proj.weight", "*.fc?.weight"]
    expected = merge(clip_base, clip_models[:2], linear=linear)
    bare = merge(without_prefix(clip_base), clip_models[:2], linear=linear)
    assert expected.keys() == clip_base.keys()
    assert same(bare, without_prefix(expected))


@pytest.fixture(scope="module")
def whole_clips() -> list[CLIPModel]:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(**TINY, image_size=8, patch_size=4, projection_dim=8)
    text = dict(
        **TINY, vocab_size=50, max_position_embeddings=8, projection_dim=8, eos_token_id=2, bos_token_id=1, pad_token_id=0
    )
    base = CLIPModel(CLIPConfig(vision_config=vision.to_dict(), text_config=text, projection_dim=8))
    models = [base]
    for _ in range(2):
        model = copy.deepcopy(base)
        with torch.no_grad():
            for parameter in model.parameters():  # the text tower too: it must not matter
                parameter.add_(0.1 * torch.randn_like(parameter))
        models.append(model)
    return models


@pytest.mark.parametrize("method", ["opcm", "dop", "ties"])
def test_the_vision_tower_is_taken_out_of_a_whole_clip(method: str, whole_clips: list[CLIPModel], tmp_path: Path):
    params = QUICK.get(method, {})
    base, *models = whole_clips
    merged = merge(base, models, method=method, **params)
    assert merged and all(key.startswith(PREFIX) for key in merged)
    towers = [module.vision_model for module in whole_clips]
    tower_states = [{key.removeprefix(PREFIX): x for key, x in tower.state_dict().items()} for tower in towers]
    bare = merge(tower_states[0], tower_states[1:], method=method, **params, linear=["*_proj.weight", "*.fc?.weight"])
    assert same(without_prefix(merged), without_prefix(bare))
    base.save_pretrained(tmp_path / "base")  # the whole model on disk, towers in memory
    assert same(without_prefix(merge(tmp_path / "base", tower_states[1:], method=method, **params)), without_prefix(bare))


@pytest.mark.parametrize("whole", [False, True])
def test_every_step_is_saved_so_that_transformers_loads_it(
    whole: bool, towers: list[CLIPVisionModel], whole_clips: list[CLIPModel], tmp_path: Path
):
    base, *models = whole_clips if whole else towers
    merger = ContinualMerger(base, "opcm", save_every_step=tmp_path / "steps")
    for i, model in enumerate(models):
        merger.add(model, name=f"task {i}/x")
        step = tmp_path / "steps" / f"step_0{i + 1}_task_{i}_x"
        stored = load_file(step / "model.safetensors")
        assert all(key.startswith(PREFIX) for key in stored)
        loaded, info = CLIPVisionModel.from_pretrained(step, output_loading_info=True)
        assert not any(info[key] for key in info), info
        assert same(without_prefix(loaded.state_dict()), without_prefix(merger.merged()))
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["step_01_task_0_x", "step_02_task_1_x"]


def test_saving_from_a_folder_keeps_its_configuration(folder: Callable, tmp_path: Path):
    ContinualMerger(folder("base"), "weight_average", save_every_step=tmp_path).add(folder("task0"))
    _, info = CLIPVisionModel.from_pretrained(tmp_path / "step_01_task0", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_saving_never_overwrites(toy: tuple, tmp_path: Path):
    base, models = toy
    ContinualMerger(base, "magmax", save_every_step=tmp_path).add(models[0], name="a")
    before = (tmp_path / "step_01_a" / "model.safetensors").read_bytes()
    merger = ContinualMerger(base, "magmax", save_every_step=tmp_path)
    with pytest.raises(FileExistsError, match="step_01_a exists; give save_every_step a new folder"):
        merger.add(models[1], name="a")
    assert len(merger) == 0 and (tmp_path / "step_01_a" / "model.safetensors").read_bytes() == before


# ---------------------------------------------------------------------------------------------- what is linear


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
    with pytest.raises(ValueError, match=r"linear='layer\.\*' matches no 2-D tensor of base .*'fc.weight'"):
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
    assert ContinualMerger(tmp_path, "opcm").recipe.transposed  # falls back on the model type's own class


# ---------------------------------------------------------------------------------------------- what it gives


@pytest.mark.parametrize("method", METHODS)
def test_merge_is_the_loop(method: str, toy: tuple):
    base, models = toy
    params = QUICK.get(method, {})
    merger = ContinualMerger(base, method, linear=["fc.weight"], **params)
    for i, model in enumerate(models, 1):
        assert merger.add(model) is merger and len(merger) == i
        assert same(merger.merged(), merge(base, models[:i], method=method, linear=["fc.weight"], **params))
    assert same(merge(base, iter(models), method=method, linear=["fc.weight"], **params), merger.merged())
    assert repr(merger).endswith(": 3 models merged")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_result_has_the_bases_own_dtypes(method: str, dtype: torch.dtype, toy: tuple):
    base, models = toy
    base = {"fc.weight": base["fc.weight"].to(dtype), "fc.bias": base["fc.bias"]}
    merger = ContinualMerger(base, method, linear=["fc.weight"], **QUICK.get(method, {}))
    for model in models:  # may have dtypes of their own
        merger.add(model)
    assert merger.compute_dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert {key: x.dtype for key, x in merger.merged().items()} == {"fc.weight": dtype, "fc.bias": torch.float32}
    assert {x.dtype for x in merger.merged(torch.float64).values()} == {torch.float64}
    precise = merger.merged(torch.float64)["fc.weight"]
    assert torch.allclose(merger.merged()["fc.weight"].double(), precise, rtol=torch.finfo(dtype).eps)


def test_computing_in_float64_shows_only_in_the_rounding(clip_base: State, clip_models: list[State]):
    single, double = (
        merge(clip_base, clip_models[:3], method="weight_average", compute_dtype=d) for d in (None, torch.float64)
    )
    assert all(double[key].dtype == torch.float32 for key in double)
    assert all(torch.allclose(single[key], double[key], atol=1e-6) for key in single)


COLUMNS = ["name", "task_vector_norm", "merged_norm", "read_seconds", "merge_seconds"]
OWN = {
    "opcm": ["lambda"],
    "dop": [
        f"{q}_{how}" for q in ("alpha", "loss_stability", "loss_plasticity", "degenerate") for how in ("mean", "min", "max")
    ],
}


@pytest.mark.parametrize("method", METHODS)
def test_history_has_a_row_per_model(method: str, toy: tuple, saved: Callable):
    base, models = toy
    merger = ContinualMerger(base, method, linear=["fc.weight"], **QUICK.get(method, {}))
    assert list(merger.history.columns) == COLUMNS and len(merger.history) == 0
    merger.add(models[0]).add(saved(models[1], "cars.safetensors")).add(models[2], name="svhn")
    history = merger.history
    assert list(history.columns) == COLUMNS + OWN.get(method, [])
    assert list(history["name"]) == ["model_1", "cars", "svhn"]
    assert list(history.index) == [1, 2, 3] and history.index.name == "step"
    norms = [sum((m[k].double() - base[k].double()).square().sum() for k in base).sqrt().item() for m in models]
    assert list(history["task_vector_norm"]) == pytest.approx(norms, rel=1e-6)
    merged = merger.merged(torch.float64)
    norm = sum((merged[k] - base[k].double()).square().sum() for k in base).sqrt().item()
    assert history["merged_norm"].iloc[-1] == pytest.approx(norm, rel=1e-6)
    assert (history[["read_seconds", "merge_seconds"]] >= 0).all(axis=None)
    history["name"] = "changed"
    assert list(merger.history["name"]) == ["model_1", "cars", "svhn"], "a copy is handed out"


@pytest.mark.parametrize("on_disk", [False, True])
def test_layers_may_be_stepped_elsewhere(on_disk: bool, folder: Callable, clip_models: list[State], tmp_path: Path):
    seen = []

    def elsewhere(step: Callable, inputs: Iterable) -> Iterator:
        for each in inputs:
            seen.append(each[2].name)
            yield pickle.loads(pickle.dumps(step))(pickle.loads(pickle.dumps(each)))

    merger = ContinualMerger(folder("base"), "opcm", layer_map=elsewhere)
    plain = ContinualMerger(folder("base"), "opcm")
    if on_disk:
        merger.save(tmp_path / "state")
        merger = ContinualMerger.load(tmp_path / "state", layer_map=elsewhere)
    for model in clip_models[:2]:
        merger.add(model)
        plain.add(model)
    assert len(seen) == 2 * len(plain.merged())
    assert same(merger.merged(), plain.merged())


def test_history_of_dop_says_which_weight_was_used(toy: tuple):
    base, models = toy
    merger = ContinualMerger(base, "dop", linear=["fc.weight"], mgda=False, alpha=0.7, num_steps=2)
    history = merger.add(models[0]).add(models[1]).history
    assert history["alpha_mean"].isna().tolist() == [True, False]  # the first model is taken as it is
    assert history["alpha_max"].iloc[1] == 0.7 and history["degenerate_max"].iloc[1] == 0


def test_results_are_the_callers_to_change(toy: tuple):
    base, models = toy
    merger = ContinualMerger(base, "opcm", linear=["fc.weight"]).add(models[0])
    kept, before = copy.deepcopy(base), merger.merged()
    for tensor in merger.merged().values():
        tensor.zero_()
    assert same(merger.merged(), before) and same(base, kept)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_left_alone_and_need_no_gradient(method: str, toy: tuple):
    base, models = toy
    parameters = [{key: nn.Parameter(x.clone()) for key, x in state.items()} for state in (base, *models)]
    merged = merge(parameters[0], parameters[1:], method=method, linear=["fc.weight"], **QUICK.get(method, {}))
    assert not any(tensor.requires_grad for tensor in merged.values())
    assert all(same(state, kept) for state, kept in zip(parameters, (base, *models), strict=True))


@pytest.mark.parametrize("method", ["opcm", "dop"])
def test_compat_differs_in_the_class_embedding(method: str, folder: Callable, clip_base: State, clip_models: list[State]):
    key = PREFIX + "embeddings.class_embedding"
    tasks = [folder(f"task{i}") for i in range(3)]
    params = QUICK.get(method, {})
    ours, compat = (merge(folder("base"), tasks, method=method, reference_compat=c, **params)[key] for c in (False, True))
    taus = [model[key] - clip_base[key] for model in clip_models[:3]]
    if method == "dop":
        assert torch.equal(compat, clip_base[key])  # never visited
        assert torch.allclose(ours - clip_base[key], (taus[0] + taus[1]) / 4 + taus[2] / 2, atol=1e-6)
    else:
        direction = nn.functional.cosine_similarity
        assert direction(compat - clip_base[key], taus[0], dim=0) > 0.999  # the first model's, shrunk
        assert (compat - clip_base[key]).norm() < (ours - clip_base[key]).norm()
        assert direction(ours - clip_base[key], sum(taus), dim=0) > 0.999


# ---------------------------------------------------------------------------------------------- what it refuses


def broken(state: State, fault: str) -> State:
    state = {key: tensor.clone() for key, tensor in state.items()}
    if fault == "missing":
        del state["fc.bias"]
    elif fault == "extra":
        state["head.weight"] = torch.zeros(2, 2)
    elif fault == "misshapen":
        state["fc.weight"] = state["fc.weight"].T.contiguous()
    elif fault in ("nan", "inf"):
        state["fc.weight"][1, 2] = float(fault)
    elif fault == "integer":
        state["fc.weight"] = state["fc.weight"].to(torch.int8)
    return state


FAULTS = {
    "missing": r"lacks 'fc\.bias'; is it fine-tuned from base.*a whole model",
    "extra": r"has, and the base has not, 'head\.weight'",
    "misshapen": r"'fc\.weight' has shape \(6, 4\), in base.* it is \(4, 6\)",
    "nan": r"'fc\.weight' holds NaN or infinity; the checkpoint is broken",
    "inf": r"'fc\.weight' holds NaN or infinity; the checkpoint is broken",
    "integer": r"'fc\.weight' has integer or unsupported weights .*dequantise",
    "same": r"equals the base base.*nothing to merge",
}


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_refused_model_is_named_and_changes_nothing(
    method: str, fault: str, on_disk: bool, toy: tuple, saved: Callable, tmp_path: Path
):
    base, models = toy
    params = {"linear": ["fc.weight"], **QUICK.get(method, {})}
    bad = base if fault == "same" else broken(models[1], fault)
    merger = ContinualMerger(base, method, save_every_step=tmp_path / "steps", **params)
    for position in (0, 1):
        before = merger.merged() if position else None
        with pytest.raises(ValueError, match=FAULTS[fault]) as error:
            merger.add(saved(bad, "bad.safetensors") if on_disk else bad)
        label = "bad.safetensors" if on_disk else f"model {position + 1} "
        assert label in str(error.value)
        assert len(merger) == len(merger.history) == position
        if position:
            assert same(merger.merged(), before)
        merger.add(models[position], name=f"m{position}")
    assert same(merger.merged(), merge(base, models[:2], method=method, **params))
    assert sorted(p.name for p in (tmp_path / "steps").iterdir()) == ["step_01_m0", "step_02_m1"]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_broken_base_is_blamed_itself(value: float, toy: tuple):
    base, models = toy
    base["fc.bias"][0] = value
    with pytest.raises(ValueError, match=r"base \(mapping of 2 tensors\): 'fc\.bias' holds NaN or infinity"):
        ContinualMerger(base, "weight_average").add(models[0])


def test_a_base_of_integers_or_of_nothing_is_refused(toy: tuple):
    base, _ = toy
    with pytest.raises(ValueError, match=r"base .*'fc\.weight' has integer or unsupported weights \(torch\.int8\)"):
        ContinualMerger(broken(base, "integer"), "weight_average")
    with pytest.raises(ValueError, match=r"base .* holds no parameters"):
        ContinualMerger({}, "weight_average")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int64])
def test_only_unquantised_floats_are_weights(dtype: torch.dtype):
    with pytest.raises(ValueError, match=rf"'w' has integer or unsupported weights \({dtype}\); dequantise"):
        ContinualMerger({"w": torch.zeros(2).to(dtype)}, "weight_average")


def test_integer_index_buffers_are_no_parameters(toy: tuple):
    base, models = toy
    with_ids = {**base, "embeddings.position_ids": torch.arange(5)}
    assert same(merge(with_ids, models, method="magmax"), merge(base, [models[0], *models[1:]], method="magmax"))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "the sequence is empty"),
        (iter(()), "the sequence is empty"),
        ("models/mnist", r"single path 'models/mnist'; put it in a list"),
        (Path("models/mnist"), r"single path 'models/mnist'; put it in a list"),
        ({"fc.weight": torch.zeros(4, 6)}, r"single dict; put it in a list"),
        (nn.Linear(2, 2), r"single Linear; put it in a list"),
    ],
)
def test_what_is_not_a_sequence_of_models_is_refused(models: object, message: str, toy: tuple):
    with pytest.raises(ValueError, match=message):
        merge(toy[0], models, method="weight_average")


@pytest.mark.parametrize("thing", [None, 3, [torch.zeros(2)], b"path"])
def test_what_is_no_model_is_refused(thing: object, toy: tuple):
    with pytest.raises(TypeError, match=r"expected a folder, a \.safetensors file, a hub id, an nn.Module or a mapping"):
        ContinualMerger(toy[0], "magmax").add(thing)


def test_a_mapping_of_something_else_is_refused(toy: tuple):
    with pytest.raises(TypeError, match=r"model 1 .*'state_dict' is a dict"):
        ContinualMerger(toy[0], "magmax").add({"state_dict": toy[1][0]})
    with pytest.raises(TypeError, match="model 1"):
        ContinualMerger(toy[0], "magmax").add({0: torch.zeros(2)})


def test_a_module_without_weights_is_refused():
    with torch.device("meta"):
        hollow = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"base \(Linear\): 'weight' is on the meta device"):
        ContinualMerger(hollow, "opcm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "opmc"}, "unknown method 'opmc'; known are"),
        ({"alhpa": 1}, "'opcm' has no parameter 'alhpa'"),
        ({"alpha": 7}, r"'opcm', parameter 'alpha': expected a value in \[0, 1\]"),
        ({"compute_dtype": torch.float16}, "compute_dtype: expected torch.float32 or torch.float64, got torch.float16"),
        ({"device": "mps"}, "MPS has no float64"),
    ],
)
def test_arguments_are_checked_before_the_base_is_opened(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        ContinualMerger("no/such/base/at all", **arguments)


def test_a_missing_model_is_named(toy: tuple, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"lost\.safetensors: no such file or folder, and not a hub id"):
        ContinualMerger(toy[0], "magmax").add(tmp_path / "lost.safetensors")


def test_nothing_merged_yet_is_an_error(toy: tuple):
    with pytest.raises(ValueError, match=r"no model has been merged yet: call add\(model\) first"):
        ContinualMerger(toy[0], "magmax").merged()


@pytest.mark.parametrize("where", ["step", "finish", "summary", "shape", "nan", "save"])
def test_a_failure_at_any_point_changes_nothing(where: str, toy: tuple, tmp_path: Path, monkeypatch):
    base, models = toy
    faulty = False

    def fail(here: str):
        if faulty and where == here:
            raise RuntimeError("on purpose")

    def finish(merged, ctx):
        fail("finish")
        return merged / ctx.t

    def summary(ctx):
        fail("summary")
        return {}

    @cmmlib.method(name="faulty", finish=finish, summary=summary)
    def step(merged, task_vector, ctx):
        fail("step")
        if faulty and where == "shape":
            return task_vector.reshape(-1)[:1]
        return merged + task_vector * (float("nan") if faulty and where == "nan" else 1)

    merger = ContinualMerger(base, "faulty", save_every_step=tmp_path / "steps").add(models[0])
    before, history = merger.merged(), merger.history
    faulty = True
    with monkeypatch.context() as patch, pytest.raises((RuntimeError, ValueError, KeyboardInterrupt)):
        if where == "save":
            patch.setattr("cmmlib.models.saving.Writer", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        merger.add(models[1])
    faulty = False
    assert same(merger.merged(), before) and merger.history.equals(history) and len(merger) == 1
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["step_01_model_1"]
    expected = merge(base, models, method="faulty")
    assert same(merger.add(models[1]).add(models[2]).merged(), expected)
