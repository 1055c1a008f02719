"""Which files of a folder are the model: those that transformers reads, or none."""

from __future__ import annotations

import json
import warnings
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from cmmlib.models import open_model

from ..helpers.models import STATE, State, read, same, sharded

WAYS = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"]
KEY = "post_layernorm.bias"
CONFIG = CLIPVisionConfig(
    hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=4
)


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> State:
    folder = tmp_path_factory.mktemp("tower")
    CLIPVisionModel(CONFIG).save_pretrained(folder)
    return read(folder)


def write(folder: Path, way: str, state: State) -> None:
    """``state`` as ``way`` says: whole, or as two shards with their index."""
    save = save_file if ".safetensors" in way else torch.save
    if not way.endswith(".index.json"):
        return save(state, folder / way)
    stem, kind = way.removesuffix(".index.json").split(".")
    where = {key: f"{stem}-0000{1 + i % 2}-of-00002.{kind}" for i, key in enumerate(sorted(state))}
    for shard in set(where.values()):
        save({key: tensor for key, tensor in state.items() if where[key] == shard}, folder / shard)
    (folder / way).write_text(json.dumps({"metadata": {}, "weight_map": where}))


@pytest.mark.parametrize("present", [p for p in product([True, False], repeat=4) if any(p)])
def test_what_is_read_is_what_from_pretrained_reads(present: tuple[bool, ...], tower: State, tmp_path: Path):
    CONFIG.to_json_file(tmp_path / "config.json")
    for number, (way, there) in enumerate(zip(WAYS, present, strict=True)):
        if there:
            write(tmp_path, way, tower | {KEY: torch.full_like(tower[KEY], number)})
    expected = CLIPVisionModel.from_pretrained(tmp_path).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same(read(tmp_path), {key: expected[key] for key in tower})


@pytest.mark.parametrize("whole", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_beside_a_whole_file_is_not_read_and_warned_of(whole: str, tmp_path: Path):
    write(tmp_path, whole, STATE)
    write(tmp_path, whole + ".index.json", {key: tensor + 1 for key, tensor in STATE.items()})
    with pytest.warns(UserWarning, match=rf"holds {whole} and {whole}\.index\.json; the whole file is read"):
        assert same(read(tmp_path), STATE)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_one_model(kind: str, tmp_path: Path):
    stem = "model" if kind == "safetensors" else "pytorch_model"
    write(tmp_path, f"{stem}.{kind}.index.json", STATE)
    assert same(read(tmp_path), STATE)
    assert open_model(tmp_path).label == str(tmp_path) and len(open_model(tmp_path).files) == 2


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_without_their_index_are_named(kind: str, tmp_path: Path):
    stem = "model" if kind == "safetensors" else "pytorch_model"
    index = f"{stem}.{kind}.index.json"
    write(tmp_path, index, STATE)
    (tmp_path / index).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"but shards \({stem}-00001-of-00002\.{kind}, …\) without their index {index}"
    ):
        open_model(tmp_path)
    with pytest.raises(ValueError, match=rf"{kind} is one of 2 shards, not a whole model; give the folder"):
        open_model(tmp_path / f"{stem}-00001-of-00002.{kind}")


def test_an_index_given_as_a_model_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"index\.json is an index of shards; give the folder"):
        open_model(sharded(tmp_path) / "model.safetensors.index.json")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("fault", ["index names more", "shards hold more", "another shard"])
def test_an_index_that_does_not_fit_its_shards_is_refused(fault: str, kind: str, tmp_path: Path):
    stem = "model" if kind == "safetensors" else "pytorch_model"
    index = tmp_path / f"{stem}.{kind}.index.json"
    write(tmp_path, index.name, STATE)
    parsed = json.loads(index.read_text())
    first, second = sorted(set(parsed["weight_map"].values()))
    if fault == "index names more":
        parsed["weight_map"]["head.weight"] = first
        message = rf"puts 'head\.weight' in {first}, and it is in no shard"
    elif fault == "shards hold more":
        del parsed["weight_map"]["out.bias"]
        message = rf"puts 'out\.bias' in no shard, and it is in {first}"
    else:
        parsed["weight_map"]["out.bias"] = second
        message = rf"puts 'out\.bias' in {second}, and it is in {first}"
    index.write_text(json.dumps(parsed))
    with pytest.raises(ValueError, match=message + "; they are not of one checkpoint"):
        open_model(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path):
    write(tmp_path, "pytorch_model.bin.index.json", STATE)
    torch.save(STATE, tmp_path / "pytorch_model-00002-of-00002.bin")
    with pytest.raises(ValueError, match="and so does pytorch_model-00001-of-00002"):
        open_model(tmp_path)


def test_an_index_of_safetensors_names_no_bin_files(tmp_path: Path):
    write(tmp_path, "pytorch_model.bin.index.json", STATE)
    (tmp_path / "pytorch_model.bin.index.json").rename(tmp_path / "model.safetensors.index.json")
    with pytest.raises(ValueError, match=r"names 'pytorch_model-00001-of-00002\.bin', which is no \.safetensors file"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["ema.safetensors", "ema.safetensors.index.json"])
def test_the_file_that_the_configuration_names_is_read(name: str, tmp_path: Path):
    write(tmp_path, "model.safetensors", {key: tensor + 1 for key, tensor in STATE.items()})
    write(tmp_path, name, STATE)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine", "transformers_weights": name}))
    assert same(read(tmp_path), STATE)


@pytest.mark.parametrize("name", ["../x.safetensors", "pytorch_model.bin", "sub/x.safetensors", 7, ""])
def test_the_configuration_names_no_other_kind_of_file(name: object, tmp_path: Path):
    write(tmp_path, "model.safetensors", STATE)
    (tmp_path / "config.json").write_text(json.dumps({"transformers_weights": name}))
    with pytest.raises(ValueError, match=r"transformers_weights names .*, which is neither"):
        open_model(tmp_path)


def test_a_file_that_the_configuration_names_and_that_is_missing_is_named(tmp_path: Path):
    write(tmp_path, "model.safetensors", STATE)
    (tmp_path / "config.json").write_text(json.dumps({"transformers_weights": "ema.safetensors"}))
    with pytest.raises(
        FileNotFoundError, match=r"transformers_weights names 'ema\.safetensors', which does not lie beside it"
    ):
        open_model(tmp_path)


def test_a_distributed_checkpoint_is_named(tmp_path: Path):
    write(tmp_path, "model.safetensors", STATE)
    write(tmp_path, "shard-00001-model-00001-of-00001.safetensors", STATE)
    with pytest.raises(ValueError, match="holds a distributed checkpoint"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"config\.json is empty \(0 bytes\)"),
        ("{", r"config\.json is not valid JSON .*fetch it again"),
        ("[]", r"config\.json holds a list, not the configuration of a model"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n", r"config\.json is a Git LFS pointer"),
    ],
)
def test_a_configuration_that_is_none_is_refused_before_anything_is_read(content: str, message: str, tmp_path: Path):
    write(tmp_path, "model.safetensors", STATE)
    (tmp_path / "config.json").write_text(content)
    for given in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(ValueError, match=message):
            open_model(given)
