"""Quantised checkpoints are refused, with their method, what betrays it and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import merge
from cmmlib.models import open_model
from cmmlib.models.dtypes import dtype_name

from ..helpers.models import STATE, State

INT = torch.zeros(2, 3, dtype=torch.int32)
BYTES = torch.zeros(3, 1, dtype=torch.uint8)
FP8 = torch.zeros(2, 3).to(torch.float8_e4m3fn)

SIGNS = [
    ({"fc.qweight": INT, "fc.scales": torch.ones(1, 3)}, r"gptq or awq, see the tensor 'fc\.qweight'"),
    ({"fc.g_idx": INT}, r"gptq, see the tensor '\S+'"),
    ({"fc.weight": BYTES, "fc.weight.absmax": torch.ones(4)}, r"bitsandbytes, see the tensor 'fc\.weight\.absmax'"),
    ({"fc.weight.quant_state.bitsandbytes__nf4": BYTES}, r"bitsandbytes, see the tensor '\S+'"),
    ({"fc.weight_packed": INT}, r"compressed-tensors, see the tensor '\S+'"),
    ({"fc.weight_scale_inv": torch.ones(1)}, r"fp8, see the tensor '\S+'"),
    ({"fc.weight": FP8}, r"fp8, see the dtype float8_e4m3fn of 'fc\.weight'"),
]


def written(folder: Path, tensors: State, config: object = None, kind: str = "safetensors") -> Path:
    if kind == "safetensors":
        save_file(tensors, folder / "model.safetensors")
    else:
        torch.save(tensors, folder / "pytorch_model.bin")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize(("tensors", "message"), SIGNS)
def test_the_tensors_betray_the_method(tensors: State, message: str, kind: str, tmp_path: Path):
    with pytest.raises(
        ValueError, match=rf"is quantised \({message}\), and is not read; use the model that it was made from"
    ):
        open_model(written(tmp_path, {"fc.bias": STATE["fc.bias"], **tensors}, kind=kind))


@pytest.mark.parametrize(
    ("method", "way"),
    [
        ("bitsandbytes", r"call its dequantize\(\)"),
        ("fp8", r"FineGrainedFP8Config\(dequantize=True\)"),
        ("mxfp4", r"Mxfp4Config\(dequantize=True\)"),
        ("compressed-tensors", r"CompressedTensorsConfig\(dequantize=True\)"),
        ("gptq", "with the library that quantised it"),
        ("awq", "with the library that quantised it"),
    ],
)
@pytest.mark.parametrize("within", ["", "text_config"])
def test_the_configuration_says_the_method(method: str, way: str, within: str, tmp_path: Path):
    config = {"quantization_config": {"quant_method": method}}
    folder = written(tmp_path, {"fc.weight": BYTES}, {within: config} if within else config)
    for given in (folder, folder / "model.safetensors"):
        with pytest.raises(
            ValueError, match=rf"quantised \({method}, see quantization_config in its config\.json\).*: .*{way}"
        ):
            open_model(given)


def test_plain_tensors_that_are_declared_quantised_are_refused(tmp_path: Path):
    config = {"quantization_config": {"load_in_4bit": True}}
    with pytest.raises(ValueError, match=r"declares it quantised \(bitsandbytes\), but its tensors are plain; .*remove"):
        open_model(written(tmp_path, STATE, config))


@pytest.mark.parametrize("settings", [None, {}])
def test_an_empty_declaration_is_none(settings: object, tmp_path: Path):
    assert open_model(written(tmp_path, STATE, {"quantization_config": settings})).shapes


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_integers_are_called_by_their_own_name(dtype: torch.dtype, kind: str, tmp_path: Path):
    tensors = {**STATE, "fc.weight": torch.zeros(2, 3, dtype=dtype)}
    source = open_model(written(tmp_path, tensors, kind=kind))
    found = source.carried
    assert found is not None and found.dtypes == {"fc.weight": dtype} and "fc.weight" not in source.shapes
    assert torch.equal(found.read("fc.weight"), tensors["fc.weight"])
    said = "lacks 'fc.weight'" if dtype is torch.bool else f"'fc.weight' has weights in {dtype_name(dtype)}"
    with pytest.raises(ValueError, match=said):
        merge(STATE, [tmp_path], method="weight_average")
