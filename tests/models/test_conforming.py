"""The same model under other names: wrappers, prefixes, old spellings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib import ContinualMerger, merge

from ..helpers.architectures import built, saved, tuned
from ..helpers.models import same


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    base = built("BERT")
    return [saved(model, tmp_path / f"{n}") for n, model in enumerate((base, tuned(base, 1)))]


def renamed(folder: Path, change) -> Path:
    tensors = {change(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda name: "module." + name,
        lambda name: "_orig_mod.module." + name,
        lambda name: "base_model.model." + name,
        lambda name: name.replace("encoder.layer.", "encoder._orig_mod.layer."),
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
)
def test_a_wrapped_or_old_model_is_the_same_model(change, folders: list[Path]):
    expected = merge(folders[0], folders[1:], method="opcm")
    assert same(merge(folders[0], [renamed(folders[1], change)], method="opcm"), expected)


def test_a_base_without_the_prefix_of_its_models(tmp_path: Path):
    base = built("GPT-2")
    plain, model = saved(base, tmp_path / "hub"), saved(tuned(base, 1), tmp_path / "tuned")
    expected = merge(plain, [model], method="opcm")
    hub = renamed(plain, lambda name: name.removeprefix("transformer."))
    found = merge(hub, [model], method="opcm")
    assert {f"transformer.{name}": tensor for name, tensor in found.items()}.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[f"transformer.{name}"]) for name, tensor in found.items())


def test_an_extra_head_is_named(tmp_path: Path):
    base, model = built("BERT"), saved(tuned(built("BERT"), 1), tmp_path / "model")
    merger = ContinualMerger(saved(base.bert, tmp_path / "encoder"), "weight_average")
    with pytest.raises(ValueError, match=r"has, and the base has not, 'cls\.predictions.* and \d more"):
        merger.add(model)


def test_a_scalar_under_another_name_is_named():
    base = {"weight": torch.ones(2, 3), "logit_scale": torch.tensor(1.0)}
    model = {"weight": torch.zeros(2, 3), "temperature": torch.tensor(2.0)}
    with pytest.raises(ValueError, match="lacks 'logit_scale'"):
        ContinualMerger(base, "weight_average").add(model)
