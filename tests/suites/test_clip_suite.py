"""The CLIP suite from a hub, from folders and offline; what is fetched, what is pinned, and what can go wrong."""

from __future__ import annotations

import errno
import io
import json
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from cmmlib.models import hub as client
from cmmlib.suites import Variant, load_suite
from cmmlib.suites.clip import data, pins
from cmmlib.suites.clip.pins import Repositories
from cmmlib.suites.clip.tasks import TASKS, ClipTask

from ..helpers import clip_standin as standin
from ..helpers.hub import COMMIT, NOWHERE, Hub, child, environment, running

TASK = {task.name: task for task in TASKS}
LATER, CONVERTED = "1" * 40, "2" * 40

SCRIPT = """
import os
from hashlib import sha256
from pathlib import Path
from cmmlib.models.checkpoints import open_model
from cmmlib.suites import load_suite

def answer(request):
    os.environ["CMMLIB_CACHE"] = request.get("cache", CACHE)
    suite = load_suite("clip", **request.get("options", {}))
    result = getattr(suite, request["call"])(*request.get("args", ()))
    if request["call"] == "test_set":
        rows = [(row["image"], row["label"]) for row in result]
        return [[image.mode, image.size, sha256(image.tobytes()).hexdigest(), label] for image, label in rows]
    if request["call"] in ("base", "checkpoint"):
        found = open_model(result)
        return {"files": sorted(x.name for x in Path(result).iterdir()), "tensors": len(found.shapes), "folder": result}
    return result

CACHE = os.environ["CMMLIB_CACHE"]
"""


def request(call: str, *args: str, **more: object) -> dict:
    return {"call": call, "args": args, **more}


def written(task: ClipTask) -> list[list]:
    """What SCRIPT answers for the test set that the stand-in wrote."""
    rows = []
    for i, label in enumerate(standin.labels_of(task)):
        image = Image.open(io.BytesIO(standin.image_of(task, i, label)))
        rows.append([image.mode, list(image.size), sha256(image.tobytes()).hexdigest(), label])
    return rows


# ---------------------------------------------------------------------------------------------- over loopback, then offline


@pytest.fixture(scope="module")
def hub(clip_folder: Path) -> Iterator[Hub]:
    with running() as server:
        server.serve_folder(clip_folder)
        yield server


SETS = {f"test_set {task.name}": request("test_set", task.name) for task in TASKS}
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
        answers = {name: ask(what) for name, what in {**SETS, **MODELS, **REST}.items()}
        repo = "datasets/ylecun/mnist"
        hub.refs[repo] = {"main": LATER}
        hub.repos[f"{repo}@{LATER}"] = hub.repos["datasets/tanganke/kmnist"]
        hub.requests.append("— again —")
        answers["again"] = ask(request("test_set", "mnist"))
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
        (path,) = (home / "hub").rglob("test-00001-of-00003.parquet")
        path.unlink()
        answers["part"] = ask(request("test_set", "sun397"))
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
        *(f"data/test-0000{i}-of-00003.parquet" for i in range(3)),
        "data/validation-00000-of-00001.parquet",
        "cropped_digits/test-00000-of-00001.parquet",
        "mnist/test-00000-of-00001.parquet",
        "fashion_mnist/test-00000-of-00001.parquet",
        "test/0.tar",
    }
    assert not any(re.search(r"train|extra|contrast|flax|\.h5|large-patch14/.*\.bin", line) for line in first)


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


# ---------------------------------------------------------------------------------------------- faults of hub and disk


@pytest.fixture(scope="module")
def faults(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Answers of a process with an empty cache to a hub in trouble."""
    answers = {}
    home = tmp_path_factory.mktemp("faults")
    with child(SCRIPT, environment(hub.url, home), home) as ask:
        for fault in ("gated", "private", "forbidden", "down", "torn"):
            for repo, what in (
                ("datasets/tanganke/dtd", request("test_set", "dtd")),
                ("tanganke/clip-vit-base-patch32_dtd", request("checkpoint", "ViT-B/32", "dtd")),
            ):
                hub.faults = {repo: fault}
                if fault != "torn" or repo.startswith("datasets/"):  # breaking off takes its retries' time
                    answers[f"{fault} {what['call']}"] = ask(what)
        hub.faults = {}
        hub.sizes["datasets/tanganke/stl10/data/test-00000-of-00001.parquet"] = 10**16
        answers["full"] = ask(request("test_set", "stl10"))
        hub.sizes = {}
        answers["after"] = ask(request("test_set", "dtd"))
        repo = "datasets/tanganke/eurosat"
        held = hub.repos.pop(repo)
        answers["lost"] = ask(request("test_set", "eurosat"))
        test = held["data/test-00000-of-00001.parquet"]
        hub.repos[repo] = {"eurosat.py": b"raise SystemExit", "README.md": b"# a script"}
        hub.repos[f"{repo}@{CONVERTED}"] = {"default/test/0000.parquet": test, "default/train/0000.parquet": standin.NEVER}
        hub.refs[repo] = {"refs/convert/parquet": CONVERTED}
        answers["script"] = ask(request("test_set", "eurosat"))
        converted = {"revisions": {"tanganke/eurosat": "refs/convert/parquet"}}
        answers["converted"] = ask(request("test_set", "eurosat", options=converted))
        answers["converted sources"] = ask(request("sources", "ViT-B/32", ["eurosat"], options=converted))
        hub.repos[repo] = held
    with child(SCRIPT, environment(NOWHERE, home), home) as ask:
        answers["unreachable"] = ask(request("test_set", "svhn"))
        answers["unreachable, cached"] = ask(request("test_set", "dtd"))
    return answers


@pytest.mark.parametrize("call", ["test_set", "checkpoint"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("gated", "it is gated: accept its terms on the hub and log in with `hf auth login`"),
        ("private", r"no such (model|data set) on the hub \(or a private one: log in with `hf auth login`\)"),
        ("forbidden", r"the hub refuses access \(403\): log in with `hf auth login`"),
        ("down", "the hub answers with error 503: try again later"),
    ],
)
def test_a_hub_that_says_no_is_explained(fault: str, message: str, call: str, faults: dict):
    answer = faults[f"{fault} {call}"]
    assert answer["error"] == "FileNotFoundError"
    assert re.match(rf"tanganke/\S*dtd: .*{message}", answer["message"])


def test_a_download_that_breaks_off_is_named_and_can_be_repeated(faults: dict):
    assert faults["torn test_set"]["error"] == "FileNotFoundError"
    assert faults["torn test_set"]["message"].startswith("tanganke/dtd: the download failed, try again")
    assert faults["after"] == written(TASK["dtd"])


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(faults: dict, hub: Hub):
    assert faults["full"]["error"] == "OSError"
    message = r"tanganke/stl10: needs 10000000\.0 GB in \S+hub, [\d.]+ GB free: free some, or set HF_HOME to another disk"
    assert re.search(message, faults["full"]["message"])


def test_a_disk_that_fills_up_is_named():
    with (
        pytest.raises(OSError, match="lab/x: No space left on device: free some, or set HF_HOME") as info,
        client._explained("lab/x", None, "dataset"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert info.value.errno == errno.ENOSPC


def test_no_such_repository_and_no_network_are_told_apart(faults: dict):
    assert "no such data set on the hub" in faults["lost"]["message"]
    assert faults["unreachable"]["message"].endswith("not in the local hub cache, and the hub cannot be reached")
    assert faults["unreachable, cached"] == written(TASK["dtd"])


def test_a_script_is_not_run_and_its_conversion_is_offered(faults: dict):
    assert faults["script"]["error"] == "ValueError"
    assert 'revisions={"tanganke/eurosat": "refs/convert/parquet"}, or data_dir' in faults["script"]["message"]
    assert faults["converted"] == written(TASK["eurosat"])
    row = {"kind": "dataset", "id": "tanganke/eurosat", "place": "hub", "revision": CONVERTED}
    assert row in faults["converted sources"]


# ---------------------------------------------------------------------------------------------- from folders


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no way to the network."""
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connects"))
    return tmp_path / "cache"


def rows(dataset: object) -> list[list]:
    return [[x["image"].mode, list(x["image"].size), sha256(x["image"].tobytes()).hexdigest(), x["label"]] for x in dataset]


def test_folders_give_the_same_as_the_hub(clip_folder: Path, cache: Path):
    suite = load_suite("clip", models_dir=clip_folder / "models", data_dir=clip_folder / "datasets")
    suite = pickle.loads(pickle.dumps(suite))  # as worker processes get it
    for task in TASKS:
        assert rows(suite.test_set(task.name)) == written(task)
    base = suite.base("ViT-B/16")
    assert base == str(clip_folder / "models" / "openai" / "clip-vit-base-patch16")
    towers = [load_file(Path(suite.checkpoint("ViT-B/16", name)) / "model.safetensors") for name in ("dtd", "svhn")]
    assert towers[0].keys() == towers[1].keys() and all(name.startswith("vision_model.") for name in towers[0])
    sources = suite.sources("ViT-B/16", suite.task_names())
    assert len(sources) == 20 + 3 and base in [row["place"] for row in sources]  # what has been used, no more
    assert all(row["revision"].startswith("sha256:") for row in sources)
    assert suite.sources("ViT-L/14", ["mnist"]) == [row for row in sources if row["id"] == "ylecun/mnist"]
    assert [path.name for path in (cache / "clip").iterdir() if path.suffix != ".lock"] == ["revisions.json"]


def test_a_data_set_has_no_other_columns_and_keeps_its_label_names(clip_folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=clip_folder / "datasets")
    assert suite.test_set("oxford-iiit-pet").column_names == ["image", "label"]
    assert suite.test_set("oxford-iiit-pet").features["label"].num_classes == 37
    assert suite.test_set("pcam")["label"][:] == [0, 0, 1, 1]


@pytest.fixture
def folder(clip_folder: Path, tmp_path: Path) -> Path:
    """A data_dir of one's own with DTD."""
    shutil.copytree(clip_folder / "datasets" / "tanganke" / "dtd", tmp_path / "data" / "tanganke" / "dtd")
    return tmp_path / "data"


def test_a_folder_that_changes_is_refused_until_its_pin_is_removed(folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=folder)
    key = suite.test_set_key("dtd")
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    content = file.read_bytes()
    file.write_bytes(content)  # the same again, at another time
    assert suite.test_set_key("dtd") == key
    file.write_bytes(content + b" ")
    with pytest.raises(
        ValueError, match=r"tanganke/dtd has changed since .*another CMMLIB_CACHE, or remove .*revisions\.json"
    ):
        suite.test_set("dtd")
    (cache / "clip" / "revisions.json").write_text("{}")
    assert suite.test_set_key("dtd") != key


def test_a_folder_is_hashed_once(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    suite = load_suite("clip", data_dir=folder)
    key = suite.test_set_key("dtd")
    monkeypatch.setattr(pins, "sha256", lambda: pytest.fail("hashes again"))
    assert suite.test_set_key("dtd") == key


def test_what_a_folder_lacks_is_named_and_not_downloaded(folder: Path, cache: Path, tmp_path: Path):
    suite = load_suite("clip", data_dir=folder, models_dir=folder)
    with pytest.raises(FileNotFoundError, match=r"data_dir=.* holds no ylecun/mnist: no folder .*/data/ylecun/mnist\. "):
        suite.test_set("mnist")
    with pytest.raises(FileNotFoundError, match=r"models_dir=.* holds no openai/clip-vit-base-patch32: no folder"):
        suite.base("ViT-B/32")
    with pytest.raises(FileNotFoundError, match=r"data_dir: no folder .*lost"):
        load_suite("clip", data_dir=tmp_path / "lost")


# ---------------------------------------------------------------------------------------------- data sets that are changed


def remade(folder: Path, rows: list[tuple[bytes, object]], **changes: object) -> Path:
    """DTD with other rows or columns, and no card."""
    target = folder / "tanganke" / "dtd"
    shutil.rmtree(target)
    standin.write_parquet(target / "data", replace(TASK["dtd"], **changes), rows)
    return folder


PNG = standin.image_of(TASK["mnist"], 0, 0)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(PNG, 0)], {"label": "fine_label"}, r"no column 'label', only 'image', 'fine_label'.*revisions=.*or data_dir"),
        ([(PNG, 0)], {"image": "img"}, r"no column 'image', only 'img', 'label'"),
        ([(PNG, 0), (PNG, -1)], {}, r"column 'label' has labels from -1 to 0, task dtd has classes 0 to 46"),
        ([(PNG, None)], {}, r"column 'label' has rows without a label"),
        ([(None, 0)], {}, r"column 'image' has images without content"),
        ([(PNG, 0)], {"class_names": tuple("abc")}, r"dtd: .*declares 3 classes"),
        ([(PNG, 0)], {"split": "train"}, r"no files .* for split 'test'; splits that it has: train\. "),
        ([(PNG, 0)], {"split": "never"}, r"no files .* for split 'test'; splits that it has: none\. "),
    ],
)
def test_a_data_set_that_is_not_as_told_is_named(rows: list, changes: dict, message: str, folder: Path, cache: Path):
    suite = load_suite("clip", data_dir=remade(folder, rows, **changes))
    with pytest.raises(ValueError, match=message):
        suite.test_set("dtd")


def test_other_label_names_can_be_accepted(folder: Path, cache: Path):
    names = ("brand-new", *TASK["dtd"].class_names[1:])
    remade(folder, [(PNG, 1)], class_names=names)
    with pytest.raises(ValueError, match="brand-new"):
        load_suite("clip", data_dir=folder).test_set("dtd")
    assert load_suite("clip", data_dir=folder, accept_labels=["dtd"]).test_set("dtd")["label"][:] == [1]


def test_a_damaged_file_is_named(folder: Path, cache: Path):
    file = folder / "tanganke" / "dtd" / "data" / "test-00000-of-00001.parquet"
    file.write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match=r"test-00000-of-00001\.parquet is damaged: remove it and fetch it again"):
        load_suite("clip", data_dir=folder).test_set("dtd")


@pytest.mark.parametrize(
    ("names", "card", "changes", "chosen"),
    [
        (["data/test-00000-of-00001-ab12.parquet", "data/train-0.parquet", "data/latest.parquet"], {}, {}, [0]),
        (["a/test-0.parquet", "b/test-0.parquet"], {}, {"config": "b"}, [1]),
        (["x/0.parquet", "y/0.parquet"], {"configs": [{"data_files": {"train": "x/*", "test": "y/*"}}]}, {}, [1]),
        (
            ["data/test-0.parquet", "data/deep/test-0.parquet"],
            {"configs": [{"data_files": {"test": "data/test*"}}]},
            {},
            [0],
        ),
        (
            ["a/test-0.parquet", "b/test-0.parquet"],
            {
                "configs": [
                    {"config_name": "a", "data_files": [{"split": "test", "path": "a/*"}]},
                    {"config_name": "b", "default": True, "data_files": [{"split": "test", "path": ["b/*"]}]},
                ]
            },
            {},
            [1],
        ),
    ],
)
def test_files_of_a_split_are_found_by_card_or_by_name(names: list, card: dict, changes: dict, chosen: list[int]):
    assert data.split_files(names, card, replace(TASK["dtd"], **changes)) == [names[i] for i in chosen]


def test_a_split_in_two_folders_is_refused():
    with pytest.raises(ValueError, match="spread over folders"):
        data.split_files(["a/test-0.parquet", "b/test-0.parquet"], {}, TASK["dtd"])


# ---------------------------------------------------------------------------------------------- pins and options


def test_pins_written_at_the_same_time_are_all_kept(cache: Path):
    def pin(i: int) -> dict:
        return pins._write_pin(f"models/lab/{i // 2}", lambda first: first or {"revision": f"by {i}"})

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(pin, range(16)))
    assert all(made[i] == made[i + 1] for i in range(0, 16, 2))
    assert len(json.loads(pins.pins_path().read_text())) == 8


def test_damaged_pins_are_named(clip_folder: Path, cache: Path):
    (cache / "clip").mkdir(parents=True)
    (cache / "clip" / "revisions.json").write_text('{"models/a/b": 1}')
    with pytest.raises(ValueError, match=r"revisions\.json is damaged: remove it"):
        load_suite("clip", data_dir=clip_folder / "datasets").test_set("dtd")


@pytest.mark.parametrize("given", ['{"a/b": 1}', "[1]", "{", '{"a/b": {"files": []}}'])
def test_bad_revisions_are_named(given: str, tmp_path: Path):
    (tmp_path / "mine.json").write_text(given)
    with pytest.raises(ValueError, match=r"revisions=.*mine\.json"):
        load_suite("clip", revisions=tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load_suite("mini", data_dir="x"), "suite mini does not take data_dir; it takes limit, precision, folder$"),
        (
            lambda: load_suite("clip", device=1),
            "suite clip does not take device; it takes limit, precision, models_dir",
        ),
        (lambda: load_suite("clip", accept_labels=["mnst"]), "unknown task 'mnst' in suite clip; choices: sun397"),
        (lambda: load_suite("clip").base("ViT-B/8"), "unknown backbone 'ViT-B/8' in suite clip; choices: ViT-B/32"),
        (lambda: load_suite("clip").checkpoint("ViT-B/32", "x"), "unknown task 'x'"),
        (lambda: load_suite("clip").test_set("x"), "unknown task 'x'"),
        (lambda: load_suite("clip").task_names(21), "this suite has 1 to 20 tasks"),
        (lambda: load_suite("mini", limit=0), "limit is 0: give a number of images per test set"),
        (lambda: load_suite("mini", limit=True), "limit is True"),
    ],
)
def test_bad_options_are_named(make: Callable, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_limit_takes_evenly_spaced_rows_and_is_part_of_every_key(clip_folder: Path, cache: Path):
    whole = load_suite("clip", data_dir=clip_folder / "datasets")
    few = pickle.loads(pickle.dumps(load_suite("clip", limit=7, data_dir=clip_folder / "datasets")))
    labels = whole.test_set("svhn")["label"][:]
    assert few.test_set("svhn")["label"][:] == [labels[i * 20 // 7] for i in range(7)]
    assert (few.limit, whole.limit) == (7, None)
    assert few.content_hash != whole.content_hash != load_suite("mini").content_hash
    assert few.test_set_key("svhn") != whole.test_set_key("svhn")
    assert Variant(whole, 99).test_set("svhn")["label"][:] == labels
    assert few.sources("ViT-B/32", ["svhn"]) == whole.sources("ViT-B/32", ["svhn"]) != []


def test_the_mini_suite_has_keys_and_a_source():
    suite = load_suite("mini", limit=3)
    assert len({suite.test_set_key(name) for name in suite.task_names()}) == 20
    (row,) = suite.sources(suite.backbones[0], suite.task_names())
    assert row["id"] == "mini" and row["revision"] == load_suite("mini").content_hash


def test_a_runs_sources_are_revisions(tmp_path: Path):
    path = tmp_path / "sources.csv"
    path.write_text("kind,id,place,revision\ndataset,ylecun/mnist,hub,abc\nmodel,openai/x,/local,sha256:123\n")
    assert Repositories(revisions=path).asked == {"datasets/ylecun/mnist": "abc"}  # a local folder's says nothing of a hub
    path.write_text("id,revision\nylecun/mnist,abc\n")
    with pytest.raises(ValueError, match=r"revisions=.*sources\.csv.*kind"):
        Repositories(revisions=path)


def test_a_suite_that_is_sent_to_another_machine_asks_for_the_same_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at = {"here": "a" * 40, "there": "b" * 40}
    where = "here"
    monkeypatch.setattr("cmmlib.models.hub.listing", lambda *_: (at[where], ["model.safetensors"]))
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / where))
    here = Repositories()
    assert here.revision("models", "owner/one", []) == at["here"]
    sent = pickle.dumps(here)
    where = "there"
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / where))
    there = pickle.loads(sent)
    assert there.revision("models", "owner/one", []) == at["here"]
    assert there.names("models", "owner/one") == ["model.safetensors"]
    assert there.revision("models", "owner/two", []) == at["there"]
