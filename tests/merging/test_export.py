"""What is exported opens with from_pretrained, in the installed transformers and in an older one where one is named.

``CMMLIB_TRANSFORMERS4`` may name the Python of an environment with transformers 4 (see ``make export-test``).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionModel

from cmmlib import ContinualMerger

from ..helpers.models import GOLDEN

pytestmark = pytest.mark.filterwarnings("ignore:custom code of")  # the base holds some

OLDER = os.environ.get("CMMLIB_TRANSFORMERS4")
WITHOUT_4 = "transformers 4 is not tried; to have it: make export-test"

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
    found = hashlib.sha256()
    bare = {key.removeprefix("vision_model."): x for key, x in tensors.items() if not key.endswith("position_ids")}
    for key in sorted(bare):
        found.update(key.encode() + bare[key].float().contiguous().numpy().tobytes())
    return found.hexdigest()


PYTHONS = [
    pytest.param(sys.executable, "5", id="installed"),
    pytest.param(OLDER, "4", id="older", marks=pytest.mark.skipif(not OLDER, reason=WITHOUT_4)),
]


def opened(python: str, folder: Path, cls: str) -> list:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", SCRIPT, folder, cls], env=environment | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def merger(whole_folders: tuple[Path, list[Path]], tmp_path: Path) -> ContinualMerger:
    base, models = whole_folders
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
    python: str, version: str, merger: ContinualMerger, whole_folders: tuple, tmp_path: Path
):
    out = merger.export(tmp_path / "out", whole=True)
    base = load_file(whole_folders[0] / "model.safetensors")
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


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(whole_folders: tuple, tmp_path: Path):
    base, models = whole_folders
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


def test_an_exported_base_with_another_text_tower_is_noticed(whole_folders: tuple, tmp_path: Path):
    base, models = whole_folders
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
    target.mkdir()
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_bytes((base / "config.json").read_bytes())
    return target


@pytest.mark.parametrize("asked", [torch.float16, None])
@pytest.mark.parametrize("shards", [1, 2])
def test_infinity_is_refused_before_anything_is_seen(asked: torch.dtype | None, shards: int, tmp_path: Path):
    base = {"a.weight": torch.full((2, 2), 6e4), "b.weight": torch.ones(2, 2)}
    base = base if asked else {key: tensor.half() for key, tensor in base.items()}
    model = {key: tensor + 2e3 for key, tensor in base.items()}
    merger = ContinualMerger(base, "task_arithmetic", linear=[], scaling_factor=4.0).add(model)
    with pytest.raises(ValueError, match=r"'a\.weight' holds infinity or NaN as float16.* Choose a wider dtype"):
        merger.export(tmp_path / "out", dtype=asked, max_shard_bytes=10**9 if shards == 1 else 10)
    assert not any(tmp_path.iterdir())
    assert merger.export(tmp_path / "out", dtype=torch.bfloat16).is_dir()


@pytest.mark.parametrize(("mask", "folder_mode", "file_mode"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)])
def test_exports_and_states_follow_the_umask(
    mask: int, folder_mode: int, file_mode: int, whole_folders: tuple, tmp_path: Path
):
    base, models = whole_folders
    before = os.umask(mask)
    try:
        merger = ContinualMerger(base, "weight_average").add(models[0])
        merger.save(tmp_path / "state")
        merger.export(tmp_path / "out")
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {folder_mode}
    assert {mode for path, mode in modes.items() if path.is_file()} == {file_mode}


def test_the_configuration_names_no_file_of_the_base(whole_folders: tuple, tmp_path: Path):
    base, models = tmp_path / "base", whole_folders[1]
    base.mkdir()
    (base / "ema.safetensors").write_bytes((whole_folders[0] / "model.safetensors").read_bytes())
    config = json.loads((whole_folders[0] / "config.json").read_text())
    config["vision_config"] |= {"transformers_weights": "mine.safetensors", "auto_map": {"AutoModel": "modeling.Mine"}}
    (base / "config.json").write_text(json.dumps({**config, "transformers_weights": "ema.safetensors"}))
    for whole in (True, False):
        out = ContinualMerger(base, "weight_average").add(models[0]).export(tmp_path / str(whole), whole=whole)
        assert not {"transformers_weights", "auto_map"} & json.loads((out / "config.json").read_text()).keys()
