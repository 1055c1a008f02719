"""Reading checkpoints from disk and from a hub, the broken and the hostile ones among them; writing them whole."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from cmmlib import ContinualMerger, merge
from cmmlib.files import written_whole
from cmmlib.models import open_model, save_model

from ..helpers.hub import COMMIT, NOWHERE, Hub, child, environment, running

State = dict[str, Tensor]
STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2), "out.bias": torch.zeros(4)}


def read(path: str | Path) -> State:
    source = open_model(path)
    return {name: source.read(name) for name in source.shapes}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def sharded(folder: Path, shards: object = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")) -> Path:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file({"fc.weight": STATE["fc.weight"]}, folder / first)
    save_file({key: STATE[key] for key in ("fc.bias", "out.bias")}, folder / second)
    one, two = shards
    index = {"metadata": {}, "weight_map": {"fc.weight": one, "fc.bias": two, "out.bias": two}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


# ---------------------------------------------------------------------------------------------- kinds of files


def test_sharded_safetensors_are_one_model(tmp_path: Path):
    assert same(read(sharded(tmp_path)), STATE)
    assert open_model(tmp_path).label == str(tmp_path)


def test_a_sharded_model_merges_like_a_whole_one(tmp_path: Path, perturbed: Callable):
    model = perturbed(STATE, 1)
    assert same(merge(sharded(tmp_path), [model], linear=["fc.weight"]), merge(STATE, [model], linear=["fc.weight"]))


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_bin_files_are_read(zipped: bool, tmp_path: Path):
    torch.save(STATE, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert same(read(tmp_path), STATE)
    assert same(read(tmp_path / "pytorch_model.bin"), STATE)
    assert open_model(tmp_path).folder == tmp_path


def test_safetensors_are_preferred_to_bin_and_shards_to_both(tmp_path: Path):
    torch.save({key: x + 1 for key, x in STATE.items()}, tmp_path / "pytorch_model.bin")
    save_file(STATE, tmp_path / "model.safetensors")
    assert same(read(tmp_path), STATE)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert same(read(sharded(tmp_path)), STATE)


def test_a_folder_with_one_odd_name_is_read_and_with_two_refused(tmp_path: Path):
    save_file(STATE, tmp_path / "open_clip.safetensors")
    assert same(read(tmp_path), STATE)
    save_file(STATE, tmp_path / "second.safetensors")
    with pytest.raises(FileNotFoundError, match=r"2 other \.safetensors files: name one of them"):
        open_model(tmp_path)
    assert same(read(tmp_path / "second.safetensors"), STATE)


def test_a_shard_that_vanishes_is_missed_only_by_its_own_tensors(tmp_path: Path):
    source = open_model(sharded(tmp_path))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert torch.equal(source.read("fc.weight"), STATE["fc.weight"])


def test_a_file_overwritten_later_does_not_reach_what_was_read(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    tensors = read(path)
    with path.open("r+b") as file:
        file.seek(len(WHOLE) - 48)
        file.write(bytes(48))
    assert same(tensors, STATE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_float_dtypes_are_known_without_reading(dtype: torch.dtype, tmp_path: Path):
    save_file({"a": torch.zeros(2, dtype=dtype)}, tmp_path / "model.safetensors")
    source = open_model(tmp_path)
    assert source.dtypes == {"a": dtype} and source.read("a").dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_quantised_files_are_refused_with_the_way_out(dtype: torch.dtype, tmp_path: Path):
    save_file({"a": torch.zeros(2).to(dtype)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: 'a' has integer or unsupported weights .*dequantise"):
        ContinualMerger(tmp_path, "weight_average")


# ---------------------------------------------------------------------------------------------- broken and hostile files


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_bin_file_that_would_run_code_is_refused_and_does_not_run(how: str, tmp_path: Path):
    target, bomb = tmp_path / "pytorch_model.bin", {"fc.weight": Bomb(tmp_path / "ran")}
    if how == "pickle":
        target.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        torch.save(bomb, target, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin cannot be read as plain tensors.*would run code.*safetensors"):
        open_model(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no pickle at all"])
def test_a_damaged_bin_file_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin cannot be read as plain tensors"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([torch.zeros(2)], ValueError, "holds a list, not a mapping"),
        ({"state_dict": STATE}, TypeError, "'state_dict' is a dict"),
        ({0: torch.zeros(2)}, TypeError, r"pytorch_model\.bin: 0 is"),
    ],
)
def test_a_bin_file_of_something_else_is_named(content: object, error: type, message: str, tmp_path: Path):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(error, match=message):
        open_model(tmp_path)


WHOLE = save(STATE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        WHOLE[:6],
        WHOLE[:40],
        WHOLE[:-4],
        b"\xff" * 8 + WHOLE[8:],
        WHOLE[:8] + b"x" * (len(WHOLE) - 8),
        WHOLE + b"x",
    ],
    ids=["empty", "tiny", "length cut", "header cut", "data cut", "huge header", "no JSON", "trailing"],
)
def test_a_damaged_safetensors_file_is_named(content: bytes, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for given in (path, tmp_path):
        with pytest.raises(ValueError, match=r"model\.safetensors is not a valid safetensors file .*fetch it again"):
            open_model(given)


def test_a_file_damaged_after_it_was_opened_changes_nothing(tmp_path: Path, perturbed: Callable):
    path = tmp_path / "model.safetensors"
    models = [perturbed(STATE, seed) for seed in (1, 2)]
    save_file(STATE, path)
    merger = ContinualMerger(path, "opcm", linear=["fc.weight"]).add(models[0])
    before = merger.merged()
    path.write_bytes(WHOLE[:-4])
    with pytest.raises(ValueError, match="not a valid safetensors file"):
        merger.add(models[1])
    path.write_bytes(WHOLE)
    assert same(merger.merged(), before) and len(merger) == 1


@pytest.mark.parametrize(
    "shard", ["../outside.safetensors", "/etc/passwd", "absent.safetensors", "sub/x.safetensors", "", ".", "..", 7, None]
)
def test_a_shard_that_lies_elsewhere_is_refused(shard: object, tmp_path: Path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for outside in (tmp_path / "outside.safetensors", folder / "sub" / "x.safetensors"):
        save_file(STATE, outside)
    with pytest.raises((FileNotFoundError, ValueError), match=r"model\.safetensors\.index\.json"):
        open_model(sharded(folder, (shard, shard)))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": {"a": ["b"]}}', "\x00", "null"]
)
def test_a_damaged_index_is_named(text: str, tmp_path: Path):
    sharded(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json .*fetch the checkpoint again"):
        open_model(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"", b"[1]", b"null", b'"clip"'])
def test_a_damaged_configuration_is_named(content: bytes, tmp_path: Path):
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (is not valid JSON|holds a \w+, not the configuration)"):
        ContinualMerger(tmp_path, "opcm")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "config.json", "model"])
def test_other_kinds_of_files_are_refused(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"neither a \.safetensors file nor a pytorch_model\.bin"):
        open_model(tmp_path / name)


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors or pytorch_model\.bin$"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    "name", ["lost", "../lost", "./lost", "a/b/c", "/no/such/folder", "a..b/c", "-a/b", "модель/b", "a/b.git", ""]
)
def test_what_is_neither_path_nor_hub_id_is_said_without_a_request(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connects"))
    with pytest.raises(FileNotFoundError, match="not a hub id of the form owner/name" if name else "holds no model"):
        open_model(name)


# ---------------------------------------------------------------------------------------------- writing


def test_what_is_saved_is_read_back(tmp_path: Path):
    folder = save_model({**STATE, "half": torch.ones(3, 2).half().T}, tmp_path / "new" / "model", {"model_type": "mine"})
    assert same(read(folder), {**STATE, "half": torch.ones(2, 3).half()})
    assert open_model(folder).config == {"model_type": "mine"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_vision_towers_are_stored_under_the_hubs_names(tmp_path: Path):
    bare = {"pre_layrnorm.weight": torch.ones(2), "post_layernorm.bias": torch.zeros(2)}
    prefixed = {"vision_model." + key: tensor for key, tensor in bare.items()}
    for i, state in enumerate((bare, prefixed)):
        assert load_file(save_model(state, tmp_path / str(i)) / "model.safetensors").keys() == prefixed.keys()


def test_saving_never_overwrites(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert same(read(save_model(STATE, tmp_path / "empty")), STATE)
    (tmp_path / "file").write_text("mine")
    for target in ("empty", "file"):
        with pytest.raises(FileExistsError, match="exists and is not empty"):
            save_model(STATE, tmp_path / target)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "model") as temporary:
        (temporary / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------- a hub on loopback


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    config = json.dumps({"model_type": "mine"}).encode()
    index = {"weight_map": {"fc.weight": "model-00001-of-00002.safetensors", "fc.bias": "model-00002-of-00002.safetensors"}}
    shards = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-00001-of-00002.safetensors": save({"fc.weight": STATE["fc.weight"]}),
        "model-00002-of-00002.safetensors": save({key: STATE[key] for key in ("fc.bias", "out.bias")}),
    }
    with running() as server:
        whole = {"config.json": config, "model.safetensors": WHOLE, "README.md": b"#"}
        server.repos = {
            "lab/whole": {**whole, "pytorch_model.bin": b"never fetched", "flax_model.msgpack": b"never fetched"},
            "lab/sharded": {"config.json": config, **shards},
            "lab/bin": {"config.json": config, "pytorch_model.bin": _bin()},
            "lab/gated": whole,
            "lab/nothing": {"README.md": b"#"},
            "lab/torn": {"config.json": config, "model.safetensors": WHOLE},
        }
        server.faults = {"lab/gated": "gated", "lab/torn": "torn"}
        yield server


def _bin() -> bytes:
    buffer = io.BytesIO()
    torch.save(STATE, buffer)
    return buffer.getvalue()


SCRIPT = """
from cmmlib.models import open_model

def answer(request):
    model, _, revision = request.partition("@")
    source = open_model(model, revision=revision or None)
    total = sum(source.read(name).sum().item() for name in source.shapes)
    return {"names": sorted(source.shapes), "sum": total, "files": sorted(path.name for path in source.folder.iterdir())}
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
    cached = ["lab/whole", "lab/sharded", "lab/bin", "lab/lost"]
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
        ("lab/nothing", r"holds no model\.safetensors or pytorch_model\.bin"),
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
