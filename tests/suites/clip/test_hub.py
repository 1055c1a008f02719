"""The suite over loopback and then offline: what is fetched, what is pinned, what is used again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cmmlib.suites.clip.tasks import TASKS, ClipTask

from ...helpers.hub import COMMIT, Hub, child, environment
from .asking import LIMIT, SCRIPT, TASK, images_of, request, written

LATER = "1" * 40

FEW = {f"few {task.name}": request("test_set", task.name, LIMIT) for task in TASKS}
SETS = {f"test_set {task.name}": images_of(task) for task in TASKS}
MODELS = {
    "B/32": request("base", "ViT-B/32"),
    "B/16": request("base", "ViT-B/16"),
    "L/14": request("base", "ViT-L/14"),
    "B/32 dtd": request("checkpoint", "ViT-B/32", "dtd"),
    "L/14 rendered-sst2": request("checkpoint", "ViT-L/14", "rendered-sst2"),
}
REST = {"sources": request("sources", "ViT-B/32", [task.name for task in TASKS]), "key": request("test_set_key", "svhn")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub: Hub, home: Path) -> dict[str, object]:
    """One process asks for everything; it asks for some of it again, when the branch has moved and the hub is down."""
    with child(SCRIPT, environment(hub.url, home), home) as ask:
        answers = {name: ask(what) for name, what in FEW.items()}
        answers["kept of few"] = sorted(path.name for path in (home / "hub").rglob("snapshots/*/**/*") if path.is_file())
        answers["sent for few"] = dict(hub.sent)
        hub.requests.append("— whole —")
        answers |= {name: ask(what) for name, what in {**SETS, **MODELS, **REST}.items()}
        repo = "datasets/ylecun/mnist"
        hub.refs[repo] = {"main": LATER}
        hub.repos[f"{repo}@{LATER}"] = hub.repos["datasets/tanganke/kmnist"]
        hub.requests.append("— again —")
        answers["again"] = ask(images_of(TASK["mnist"]))
        answers["again B/32 dtd"] = ask(MODELS["B/32 dtd"])
        hub.requests.append("— moved —")
        answers["key of old"] = ask(request("test_set_key", "mnist"))
        answers["key of new"] = ask(request("test_set_key", "mnist", cache=str(home / "second")))
        answers["key of asked"] = ask(
            request("test_set_key", "mnist", cache=str(home / "third"), options={"revisions": {"ylecun/mnist": COMMIT}})
        )
        answers["key as pinned"] = ask(
            request("test_set_key", "mnist", cache=str(home / "third"), options={"revisions": str(pinned(home))})
        )
        answers["key of tag"] = ask(request("test_set_key", "mnist", options={"revisions": {"datasets/ylecun/mnist": "v9"}}))
        return answers


def pinned(home: Path) -> Path:
    return home / "cmmlib" / "clip" / "revisions.json"


@pytest.fixture(scope="module")
def offline(online: dict, hub: Hub, home: Path) -> dict[str, object]:
    """A process without a hub asks for what the first one left, and for what it did not."""
    n = len(hub.requests)
    with child(SCRIPT, {**environment(hub.url, home), "HF_HUB_OFFLINE": "1"}, home) as ask:
        answers = {name: ask(what) for name, what in {**SETS, **MODELS, **REST}.items()}
        answers["not there"] = ask(request("checkpoint", "ViT-B/32", "svhn"))
        answers["not pinned"] = ask(request("test_set", "svhn", cache=str(home / "fourth")))
        (path,) = (home / "hub").rglob("test-00001-of-00018.parquet")
        path.unlink()
        answers["part"] = ask(request("test_set", "sun397"))
        answers["few of part"] = ask(request("test_set", "sun397", LIMIT))
    assert len(hub.requests) == n
    return answers


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_labels_and_images_of_every_test_set_are_what_the_hub_has(task: ClipTask, online: dict, offline: dict):
    assert online[f"test_set {task.name}"] == written(task)
    assert offline[f"test_set {task.name}"] == written(task)


def test_models_are_complete_and_in_one_format(online: dict, offline: dict):
    base = {"config.json", "merges.txt", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"}
    for answers in (online, offline):
        assert set(answers["B/32"]["files"]) == base | {"pytorch_model.bin"}
        assert set(answers["B/16"]["files"]) == base | {"pytorch_model.bin"}
        assert set(answers["L/14"]["files"]) == base | {"model.safetensors"}
        assert answers["B/32 dtd"]["files"] == ["config.json", "model.safetensors"]
        assert answers["B/32 dtd"]["tensors"] == answers["L/14 rendered-sst2"]["tensors"] > 30


def test_only_what_is_needed_is_asked_of_the_hub(online: dict, hub: Hub):
    first = hub.requests[: hub.requests.index("— again —")]
    fetched = {line.split("/resolve/")[1].partition("/")[2] for line in first if "/resolve/" in line}
    assert {name for name in fetched if name.endswith((".parquet", ".tar"))} == {
        "data/test-00000-of-00001.parquet",
        *(f"data/test-{i:05}-of-00018.parquet" for i in range(18)),
        *(f"data/validation-0000{i}-of-00003.parquet" for i in range(3)),
        *(f"{name}/test-00000-of-00001.parquet" for name in ("cropped_digits", "mnist", "fashion_mnist", "kmnist")),
        "emnist-letters/test-00000-of-00001.parquet",
        *(f"test/{i}.tar" for i in range(4)),
    }
    never = r"train|extra|contrast|flax|\.h5|tfevents|large-patch14/.*\.bin"
    assert not any(re.search(never, line) for line in first)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_limit_gives_evenly_spaced_rows(task: ClipTask, online: dict):
    assert online[f"few {task.name}"] == written(task)
    labels = [row[-1] for row in written(task)]
    assert labels == sorted(labels) and len(set(labels)) >= min(len(task.class_names), LIMIT) - 2


def test_for_a_limit_footers_and_row_groups_are_fetched_and_nothing_is_kept(online: dict, hub: Hub):
    assert {Path(name).suffix for name in online["kept of few"]} == {".md", ".txt", ".tar"}
    (cars,) = (sent for at, sent in online["sent for few"].items() if "stanford_cars" in at and at.endswith(".parquet"))
    size = hub.repos["datasets/tanganke/stanford_cars"]["data/test-00000-of-00001.parquet"].stat().st_size
    assert 65_536 < cars < size * 2 / 3  # a footer is asked for by that many bytes, and 12 of 81 row groups are read


def test_what_is_there_is_used_without_a_request(online: dict, hub: Hub):
    start = hub.requests.index("— again —")
    assert hub.requests[start + 1 :][:1] == ["— moved —"]
    assert online["again"] == online["test_set mnist"]
    assert online["again B/32 dtd"] == online["B/32 dtd"]


def test_a_branch_that_moves_is_followed_by_a_new_cache_only(online: dict):
    assert json.loads(online["key of old"])[3] == COMMIT
    assert json.loads(online["key of new"])[3] == LATER
    assert online["key of asked"] == online["key as pinned"] == online["key of old"]
    assert online["key of tag"]["error"] == "FileNotFoundError"
    assert "ylecun/mnist: the hub has no revision 'v9' of it" in online["key of tag"]["message"]


def test_sources_list_what_was_used(online: dict, offline: dict, home: Path):
    rows = online["sources"]
    assert rows == offline["sources"]
    assert len(rows) == 20 + 2  # what is of other backbones, or has not been used, is not among them
    assert {"kind": "dataset", "id": "tanganke/sun397", "place": "hub", "revision": COMMIT} in rows
    assert {"kind": "model", "id": "tanganke/clip-vit-base-patch32_dtd", "place": "hub", "revision": COMMIT} in rows
    assert json.loads(pinned(home).read_text())["models/openai/clip-vit-base-patch32"]["revision"] == COMMIT


def test_what_the_cache_lacks_is_named_offline(offline: dict):
    for name, what in {"not there": "tanganke/clip-vit-base-patch32_svhn", "not pinned": "ufldl-stanford/svhn"}.items():
        assert offline[name]["error"] == "FileNotFoundError"
        assert offline[name]["message"].startswith(f"{what}: no such folder here, not in the local hub cache")
    assert re.match(r"tanganke/sun397: .*hub cannot be reached", offline["part"]["message"])
