"""Hubs and disks in trouble."""

from __future__ import annotations

import errno
import re

import pytest

from cmmlib.models import hub as client

from ...helpers import clip_standin as standin
from ...helpers.hub import NOWHERE, Hub, child, environment
from .asking import SCRIPT, TASK, images_of, request, written

CONVERTED = "2" * 40


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
        hub.sizes["datasets/clip-benchmark/wds_fer2013/test/0.tar"] = 10**16
        answers["full"] = ask(request("test_set", "fer2013"))
        hub.sizes = {}
        answers["after"] = ask(images_of(TASK["dtd"]))
        hub.faults = {"datasets/tanganke/cifar10": "", "datasets/tanganke/resisc45": "down"}
        answers["pinned"] = ask(request("test_set_key", "cifar10"))
        hub.faults = {"datasets/tanganke/cifar10": "down"}
        hub.requests.append("— refusing —")
        answers["refusing"] = [ask(request("test_set", "cifar10", *limit)) for limit in ((), (5,))]
        hub.requests.append("— refused —")
        hub.faults = {}
        repo = "datasets/tanganke/eurosat"
        held = hub.repos.pop(repo)
        answers["lost"] = ask(request("test_set", "eurosat"))
        test = held["data/test-00000-of-00001.parquet"]
        hub.repos[repo] = {"eurosat.py": b"raise SystemExit", "README.md": b"# a script"}
        hub.repos[f"{repo}@{CONVERTED}"] = {"default/test/0000.parquet": test, "default/train/0000.parquet": standin.NEVER}
        hub.refs[repo] = {"refs/convert/parquet": CONVERTED}
        answers["script"] = ask(request("test_set", "eurosat"))
        converted = {"revisions": {"tanganke/eurosat": "refs/convert/parquet"}}
        answers["converted"] = ask(images_of(TASK["eurosat"], options=converted))
        answers["converted sources"] = ask(request("sources", "ViT-B/32", ["eurosat"], options=converted))
        hub.repos[repo] = held
    with child(SCRIPT, environment(NOWHERE, home), home) as ask:
        answers["unreachable"] = ask(request("test_set", "svhn"))
        answers["unreachable, cached"] = ask(images_of(TASK["dtd"]))
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


def test_a_hub_that_refuses_is_asked_twice_at_most(faults: dict, hub: Hub):
    """Once for the footers and once for the files: huggingface_hub alone would go on for 23 seconds."""
    for answer in faults["refusing"]:
        assert "tanganke/cifar10: not in the local hub cache, and the hub answers with error 503" in answer["message"]
    asked = hub.requests[hub.requests.index("— refusing —") + 1 : hub.requests.index("— refused —")]
    assert 2 <= len(asked) <= 4


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(faults: dict, hub: Hub):
    assert faults["full"]["error"] == "OSError"
    message = r"clip-benchmark/wds_fer2013: needs 10000000\.0 GB in \S+hub, [\d.]+ GB free: free some, or set HF_HOME to"
    assert re.search(message, faults["full"]["message"])


def test_a_disk_that_fills_up_is_named(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(OSError, match="lab/x: No space left on device: free some, or set HF_HOME") as info:
        client.download("lab/x", ["data.parquet"], "0" * 40, "dataset")
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
