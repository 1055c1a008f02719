"""``cmm check`` on the stand-in of the hub: its table, its exit code, and how little it fetches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cmmlib.cli import main
from cmmlib.suites.clip.tasks import TASKS

from ..helpers import clip_standin
from ..helpers.hub import NOWHERE, environment, running


def check(folder: Path, around: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cmmlib.cli", "check", *arguments]
    return subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True)


@pytest.fixture(scope="module")
def runs(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Checks of a hub that is whole, of one that is not, of none, and of none with all in the cache."""
    folder = tmp_path_factory.mktemp("check")
    done = {}
    with running() as hub:
        hub.serve_folder(clip_folder)
        around = environment(hub.url, folder)
        done["whole"] = check(folder, around, "--suite", "clip", "--backbone", "ViT-B/32")
        done["sent"] = Counter(hub.sent)
        done["kept"] = [path for path in (folder / "hub").rglob("snapshots/**/*") if path.is_file()]
        hub.faults = {"tanganke/clip-vit-base-patch32_sun397": "gated", "datasets/tanganke/stanford_cars": "down"}
        other = hub.repos["datasets/tanganke/eurosat"]["data/test-00000-of-00001.parquet"]
        hub.repos["datasets/tanganke/resisc45"] |= {"data/test-00000-of-00001.parquet": other}
        done["faults"] = check(folder, around, "--backbone", "ViT-B/32", "--tasks", "3")
        done["json"] = check(folder, around, "--backbone", "ViT-B/32", "--tasks", "3", "--json")
        hub.sizes["tanganke/clip-vit-base-patch32_eurosat/config.json"] = 10**15
        done["small"] = check(folder, around, "--backbone", "ViT-B/32", "--tasks", "4", "--json")
    done["nowhere"] = check(folder, environment(NOWHERE, folder / "empty"), "--backbone", "ViT-L/14", "--tasks", "2")
    return done


def test_a_line_for_each_repository_and_a_last_line_that_says_so(runs: dict):
    done = runs["whole"]
    assert done.returncode == 0, done.stderr
    table, _, rest = done.stdout.partition("\n\n")
    lines = table.splitlines()[2:]
    assert len(lines) == 1 + 20 + 20 and all(line.endswith(" ok") for line in lines)
    assert [line.split()[0] for line in lines[-20:]] == [task.dataset for task in TASKS]
    assert all(f"{task.images:,}" in line for task, line in zip(TASKS, lines[-20:], strict=True))
    assert rest.splitlines()[-1].startswith("ready: 41 repositories are as expected, ")
    assert "35.1 GB needed" in rest  # the preprocessed images, on the disk of both caches
    assert "41/41" in done.stderr  # the progress bar's end


def test_weights_and_images_are_not_fetched(runs: dict, clip_folder: Path):
    assert {path.suffix for path in runs["kept"]} == {".md", ".txt"}
    sent = runs["sent"]
    for at, size in sent.items():
        if at.endswith((".bin", ".parquet", ".safetensors")):
            kind = "" if at.startswith("/datasets/") else "models"
            file = clip_folder / kind / at.lstrip("/").replace(f"/resolve/{at.split('/resolve/')[1].split('/')[0]}", "")
            assert size < max(file.stat().st_size / 2, 150_000), at


def test_faults_are_numbered_and_explained_and_set_the_exit_code(runs: dict):
    done = runs["faults"]
    assert done.returncode == 1
    text = done.stdout
    assert "[1] tanganke/clip-vit-base-patch32_sun397: it is gated: accept its terms" in text
    assert "[2] tanganke/stanford_cars: " in text and "error 503" in text
    assert "[3] tanganke/resisc45: " in text
    assert text.splitlines()[-1] == "not ready: 3 of 7 repositories are not as expected"


def test_the_same_as_json(runs: dict):
    result = json.loads(runs["json"].stdout)
    assert runs["json"].returncode == 1 and result["ready"] is False and len(result["faults"]) == 3
    assert next(found["id"] for found in result["repositories"] if found["fault"]).endswith("_sun397")
    assert result["disks"][0]["free"] > 0


def test_a_disk_that_is_too_small_is_told(runs: dict):
    result = json.loads(runs["small"].stdout)
    assert "is too small" in result["faults"][-1] and result["disks"][0]["needed"] > 10**15


def test_without_a_hub_every_line_says_so_at_once(runs: dict):
    done = runs["nowhere"]
    assert done.returncode == 1
    assert done.stdout.count("the hub cannot be reached") == 5
    assert done.stdout.splitlines()[-1] == "not ready: 5 of 5 repositories are not as expected"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "mini"], "--suite mini: it is on this machine, so there is nothing to check"),
        (["--tasks", "21"], "give 1 to 20 tasks"),
        (["--backbone", "ViT-H/14"], "unknown backbone 'ViT-H/14' in suite clip"),
        (["--data-dir", "nowhere"], "data_dir: no folder"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_account_of_the_stand_in(clip_folder: Path):
    """The layouts that the check meets are the real ones."""
    data = clip_folder / "datasets"
    assert len(list((data / "tanganke/sun397/data").glob("test-*-of-00018.parquet"))) == 18
    assert len(list((data / "clip-benchmark/wds_fer2013/test").glob("*.tar"))) == 4
    assert (data / "tanganke/emnist_letters/emnist-letters").is_dir() and (data / "tanganke/kmnist/kmnist").is_dir()
    assert "0airplane" in (data / "tanganke/stl10/README.md").read_text()
    assert len(clip_standin.LAYOUTS["gtsrb"].splits) == 8
