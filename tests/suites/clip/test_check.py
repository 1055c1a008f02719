"""What is found wrong with repositories before a run, in local folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cmmlib.files import LFS_POINTER
from cmmlib.suites.clip import ClipSuite
from cmmlib.suites.clip.check import Checked, check_repositories, count_repositories

BASE, TOWER, DATA = "openai/clip-vit-base-patch32", "tanganke/clip-vit-base-patch32_dtd", "tanganke/dtd"


@pytest.fixture
def hub_copy(clip_folder: Path, tmp_path: Path) -> Path:
    """What a run of DTD on ViT-B/32 needs, to be damaged."""
    for repo in (f"models/{BASE}", f"models/{TOWER}", f"datasets/{DATA}"):
        shutil.copytree(clip_folder / repo, tmp_path / "hub" / repo)
    return tmp_path / "hub"


def found(folder: Path, limit: int | None = None) -> dict[str, Checked]:
    done: list[None] = []
    suite = ClipSuite(models_dir=folder / "models", data_dir=folder / "datasets")
    checked = check_repositories(suite, ["ViT-B/32"], ["dtd"], limit, lambda: done.append(None))
    assert len(checked) == len(done) == count_repositories(["ViT-B/32"], ["dtd"]) == 3
    return {repository.id: repository for repository in checked}


def test_what_is_whole_has_no_faults(hub_copy: Path, cache: Path):
    base, tower, data = found(hub_copy).values()
    assert (base.id, tower.id, data.id) == (BASE, TOWER, DATA)
    assert not (base.fault or tower.fault or data.fault)
    assert (base.files, tower.files, data.files) == (7, 2, 2)
    assert tower.size == sum(
        (hub_copy / "models" / TOWER / name).stat().st_size for name in ("config.json", "model.safetensors")
    )
    assert data.rows == 1880 and data.missing == 0 and data.place == str(hub_copy / "datasets" / DATA)


def test_a_folder_is_hashed_by_its_first_use_not_by_the_check(hub_copy: Path, cache: Path):
    assert found(hub_copy)[DATA].revision == ""
    ClipSuite(data_dir=hub_copy / "datasets").test_set_key("dtd")
    assert found(hub_copy)[DATA].revision.startswith("sha256:")
    (hub_copy / "datasets" / DATA / "README.md").write_text("changed")
    assert "has changed since it was first used" in found(hub_copy)[DATA].fault


def test_with_a_limit_the_row_groups_count(hub_copy: Path, cache: Path):
    whole, part = found(hub_copy)[DATA], found(hub_copy, 5)[DATA]
    assert part.rows == whole.rows and 0 < part.size < whole.size / 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(path: Path) -> None:
    path.unlink()


def pointer(path: Path) -> None:
    path.write_bytes(LFS_POINTER + b"/v1\n")


def larger(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 48}))


def garbled(path: Path) -> None:
    path.write_text('{"hidden_size": "wide"}')


def shard_of_two(path: Path) -> None:
    path.rename(path.with_name("test-00000-of-00002.parquet"))


@pytest.mark.parametrize(
    ("repo", "file", "damage", "message"),
    [
        (
            TOWER,
            "model.safetensors",
            cut,
            r"model.safetensors is not a valid safetensors file \(its header describes \d+ bytes",
        ),
        (TOWER, "model.safetensors", without, "holds no model.safetensors or pytorch_model.bin"),
        (TOWER, "model.safetensors", pointer, "is a Git LFS pointer"),
        (TOWER, "config.json", without, "has no config.json"),
        (TOWER, "config.json", larger, f"was not fine-tuned from {BASE}: .* hidden_size 48 where the base has 32"),
        (TOWER, "config.json", garbled, "config.json is not the configuration of a CLIP model"),
        (BASE, "pytorch_model.bin", pointer, "is a Git LFS pointer"),
        (BASE, "pytorch_model.bin", half, "pytorch_model.bin has no end, as after an interrupted download"),
        (BASE, "preprocessor_config.json", without, "has no preprocessor_config.json"),
        (DATA, "data/test-00000-of-00001.parquet", cut, "is damaged: remove it and fetch it again"),
        (DATA, "data/test-00000-of-00001.parquet", without, "has no files .* for split 'test'"),
        (DATA, "data/test-00000-of-00001.parquet", shard_of_two, "split 'test' has 1 of its 2 files"),
        (DATA, "data/test-00000-of-00001.parquet", pointer, "is a Git LFS pointer"),
    ],
)
def test_every_damage_is_named_and_only_where_it_is(
    repo: str, file: str, damage: Callable[[Path], None], message: str, hub_copy: Path, cache: Path
):
    damage(hub_copy / ("datasets" if repo == DATA else "models") / repo / file)
    checked = found(hub_copy)
    faults = {repository.id for repository in checked.values() if repository.fault}
    assert repo in faults and faults <= {repo} | ({TOWER} if repo == BASE else set())
    with pytest.raises(ValueError, match=message):
        raise ValueError(checked[repo].fault)


def test_prompts_can_be_read_with_either_kind_of_tokenizer(hub_copy: Path, cache: Path):
    (hub_copy / "models" / BASE / "tokenizer.json").unlink()
    assert not found(hub_copy)[BASE].fault
    (hub_copy / "models" / BASE / "merges.txt").unlink()
    assert "has no tokenizer.json, nor vocab.json and merges.txt" in found(hub_copy)[BASE].fault


def test_a_repository_that_is_not_there_is_named(hub_copy: Path, cache: Path):
    shutil.rmtree(hub_copy / "models" / TOWER)
    assert f"holds no {TOWER}: no folder" in found(hub_copy)[TOWER].fault
