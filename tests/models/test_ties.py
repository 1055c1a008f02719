"""Tied weights are one parameter, however often and under whatever name they are stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib import ContinualMerger, merge
from cmmlib.models import open_model
from cmmlib.models.ties import vocabulary_sizes, with_ties

from ..helpers.architectures import built, furthest, loaded, saved, tuned

EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def stored(folder: Path, how: str) -> Path:
    """A copy of a tied model's folder that stores its embeddings twice, under the other name, or as .bin."""
    copy = Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-{how}")))
    tensors = load_file(copy / "model.safetensors")
    if how == "twice":
        tensors[HEAD] = tensors[EMBED].clone()
    elif how == "other":
        tensors[HEAD] = tensors.pop(EMBED)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    if how == "bin":
        tensors[HEAD] = tensors[EMBED]
        torch.save(tensors, copy / "pytorch_model.bin")
        (copy / "model.safetensors").unlink()
    return copy


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    base = built("Llama, tied")
    return [saved(model, tmp_path / f"{n}") for n, model in enumerate((base, tuned(base, 1), tuned(base, 2)))]


@pytest.mark.parametrize("method", ["ties", "opcm"])
def test_however_tied_weights_are_stored_the_result_is_one(method: str, folders: list[Path], tmp_path: Path):
    base = built("Llama, tied")
    results = {}
    for how in ("once", "twice", "other", "bin"):
        paths = folders if how == "once" else [stored(folder, how) for folder in folders]
        merger = ContinualMerger(paths[0], method)
        for path in paths[1:]:
            merger.add(path)
        results[how] = loaded(base, merger.export(tmp_path / f"out-{how}"))
    mixed = ContinualMerger(folders[0], method).add(stored(folders[1], "other-way"))
    assert len(mixed) == 1
    for how, result in results.items():
        assert furthest(result, results["once"]) < 1e-6, how
        assert torch.equal(result[EMBED], result[HEAD])


@pytest.mark.parametrize(("base", "model"), [("once", "twice"), ("once", "other"), ("twice", "once"), ("other", "twice")])
def test_base_and_model_may_store_them_in_different_ways(base: str, model: str, folders: list[Path]):
    expected = merge(folders[0], folders[1:2], method="opcm")
    paths = [folders[n] if how == "once" else stored(folders[n], how) for n, how in enumerate((base, model))]
    found = merge(paths[0], paths[1:], method="opcm")
    kept = EMBED if EMBED in found else HEAD
    assert torch.allclose(found[kept], expected[EMBED], atol=1e-6)


def test_weights_trained_apart_that_the_base_ties_are_refused(folders: list[Path]):
    apart = stored(folders[1], "twice")
    tensors = load_file(apart / "model.safetensors")
    tensors[HEAD] += 0.1
    save_file(tensors, apart / "model.safetensors")
    merger = ContinualMerger(stored(folders[0], "twice"), "weight_average")
    with pytest.raises(ValueError, match=r"'lm_head\.weight' and 'model\.embed_tokens\.weight' differ, and .* ties them"):
        merger.add(apart)


def test_a_configuration_that_ties_nothing_keeps_equal_weights_apart(folders: list[Path]):
    folder = stored(folders[0], "twice")
    config = json.loads((folder / "config.json").read_text())
    assert with_ties(open_model(folder)).tied == {HEAD: EMBED}
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert not with_ties(open_model(folder)).tied


def test_vocabularies_are_found_in_parts_of_a_configuration():
    assert vocabulary_sizes({"text_config": {"vocab_size": 50}, "vocab_size": 7}) == {7, 50}
    assert vocabulary_sizes({"vocab_size": 7, "tie_word_embeddings": False}) == vocabulary_sizes(None) == set()


def test_a_merged_model_with_tied_weights_can_be_saved(tmp_path: Path):
    base = built("Llama, tied")
    tensors = merge(base, [tuned(base, 1)], method="weight_average")
    save_file(tensors, tmp_path / "merged.safetensors")
    assert torch.equal(tensors[EMBED], tensors[HEAD])
    base.load_state_dict(tensors)
