"""Models by hub id, from a hub on loopback: fetched, found again offline, and refused with the reason."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from ..helpers.hub import COMMIT, NOWHERE, Hub, child, environment, running
from ..helpers.models import STATE, WHOLE, State


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    config = json.dumps({"model_type": "mine"}).encode()
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    index = {"weight_map": {"fc.weight": first, "fc.bias": second, "out.bias": second}}
    shards = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        first: save({"fc.weight": STATE["fc.weight"]}),
        second: save({key: STATE[key] for key in ("fc.bias", "out.bias")}),
    }
    with running() as server:
        whole = {"config.json": config, "model.safetensors": WHOLE, "README.md": b"#"}
        server.repos = {
            "lab/whole": {**whole, "pytorch_model.bin": b"never fetched", "flax_model.msgpack": b"never fetched"},
            "lab/sharded": {"config.json": config, **shards},
            "lab/bin": {"config.json": config, "pytorch_model.bin": _bin(STATE)},
            "lab/both": {"config.json": config, "model.safetensors": WHOLE, **shards},
            "lab/shards-of-bin": {"config.json": config, **_shards_of_bin()},
            "lab/sides": {**whole, **SIDES, "onnx/model.onnx": b"", "onnx/config.json": b"{}", "modeling_mine.py": b""},
            "lab/gguf": {"config.json": config, "model-Q4_K_M.gguf": b"GGUF"},
            "lab/gated": whole,
            "lab/nothing": {"README.md": b"#"},
            "lab/torn": {"config.json": config, "model.safetensors": WHOLE},
        }
        server.faults = {"lab/gated": "gated", "lab/torn": "torn"}
        yield server


SIDES = dict.fromkeys(["1_Pooling/config.json", "source.spm", "spm.model", "tokenizer.json"], b"{}")


def _bin(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _shards_of_bin() -> dict[str, bytes]:
    where = {key: f"pytorch_model-0000{i}-of-00003.bin" for i, key in enumerate(STATE, 1)}
    index = json.dumps({"metadata": {}, "weight_map": where}).encode()
    return {"pytorch_model.bin.index.json": index, **{where[key]: _bin({key: STATE[key]}) for key in STATE}}


SCRIPT = """
from cmmlib.models import open_model

def answer(request):
    model, _, revision = request.partition("@")
    source = open_model(model, revision=revision or None)
    total = sum(source.read(name).sum().item() for name in source.shapes)
    files = (path.relative_to(source.folder).as_posix() for path in source.folder.rglob("*") if path.is_file())
    return {"names": sorted(source.shapes), "sum": total, "files": sorted(files)}
"""


def ask(url: str, home: Path, *requests: str, **settings: str) -> list[dict]:
    """What a fresh process, whose hub is at ``url``, answers to each request ``id@revision``."""
    with child(SCRIPT, {**environment(url, home), **settings}, home) as ask_one:
        return [ask_one(request) for request in requests]


GOOD = {"names": sorted(STATE), "sum": sum(tensor.sum().item() for tensor in STATE.values())}


@pytest.fixture(scope="module")
def answers(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """One process asks for everything; the cache it leaves is asked again without the hub."""
    home = tmp_path_factory.mktemp("home")
    asked = [
        "lab/whole",
        "lab/sharded",
        "lab/bin",
        "lab/both",
        "lab/shards-of-bin",
        "lab/sides",
        "lab/gguf",
        f"lab/whole@{COMMIT}",
        "lab/whole@v9",
        "lab/gated",
        "lab/lost",
        "lab/nothing",
    ]
    with child(SCRIPT, environment(hub.url, home), home) as ask_one:
        online = {"torn": ask_one("lab/torn")}
        del hub.faults["lab/torn"]
        online["mended"] = ask_one("lab/torn")
        online |= {request: ask_one(request) for request in asked}
    hub.requests.append("— then offline —")
    cached = ["lab/whole", "lab/sharded", "lab/bin", "lab/both", "lab/shards-of-bin", "lab/sides", "lab/lost"]
    away = {"unreachable": (NOWHERE, {}), "offline": (hub.url, {"HF_HUB_OFFLINE": "1"})}
    with ThreadPoolExecutor() as pool:  # two processes at once
        replies = pool.map(lambda where: ask(where[0], home, *cached, **where[1]), away.values())
        for label, reply in zip(away, replies, strict=True):
            online |= dict(zip((f"{label} {name}" for name in cached), reply, strict=True))
    return online


@pytest.mark.parametrize(
    ("request_", "files"),
    [
        ("lab/whole", ["config.json", "model.safetensors"]),
        (f"lab/whole@{COMMIT}", ["config.json", "model.safetensors"]),
        ("lab/bin", ["config.json", "pytorch_model.bin"]),
        ("lab/both", ["config.json", "model.safetensors"]),
        ("lab/shards-of-bin", ["config.json", *sorted(_shards_of_bin())]),
        ("lab/sides", [*sorted(SIDES)[:1], "config.json", "model.safetensors", *sorted(SIDES)[1:]]),
        (
            "lab/sharded",
            [
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
        ),
    ],
)
@pytest.mark.parametrize("how", ["", "unreachable ", "offline "])
def test_hub_models_are_fetched_without_the_rest_and_found_again_offline(
    how: str, request_: str, files: list[str], answers: dict[str, dict]
):
    if how and "@" in request_:
        return
    assert answers[how + request_] == {**GOOD, "files": files}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("lab/lost", r"lab/lost: no such folder here, and no such model on the hub \(or a private one"),
        ("lab/gated", r"lab/gated: it is gated: accept its terms on the hub and log in"),
        ("lab/whole@v9", r"lab/whole: the hub has no revision 'v9' of it"),
        ("lab/nothing", r"^lab/nothing holds no model\.safetensors or pytorch_model\.bin$"),
        ("lab/gguf", r"^lab/gguf holds no model\.safetensors .*, but model-Q4_K_M\.gguf, GGUF weights"),
        (
            "unreachable lab/lost",
            r"lab/lost: no such folder here, not in the local hub cache, and the hub cannot be reached",
        ),
        ("offline lab/lost", r"lab/lost: no such folder here, not in the local hub cache, and the hub cannot be reached"),
    ],
)
def test_hub_models_that_cannot_be_had_are_named_with_the_reason(request_: str, message: str, answers: dict[str, dict]):
    assert answers[request_]["error"] == "FileNotFoundError"
    assert re.search(message, answers[request_]["message"])


def test_only_what_is_needed_is_asked_of_the_hub(answers: dict[str, dict], hub: Hub):
    requests = hub.requests[: hub.requests.index("— then offline —")]
    assert not any("msgpack" in line or "README" in line for line in requests)
    assert not any("lab/whole" in line and "pytorch_model.bin" in line for line in requests)
    assert not hub.requests[hub.requests.index("— then offline —") + 1 :]


def test_a_download_that_breaks_off_is_named_and_can_be_repeated(answers: dict[str, dict]):
    assert answers["torn"]["error"] == "FileNotFoundError"
    assert answers["torn"]["message"].startswith("lab/torn: the download failed, try again")
    assert answers["mended"] == {**GOOD, "files": ["config.json", "model.safetensors"]}
