"""Damaged checkpoints through the command: refused by a clear error, or read as the safetensors library reads them.

The suite runs a short version; ``make fuzz`` the long one: `python tests/test_fuzz.py --count 2500 --processes 100`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from cmmlib import ContinualMerger
from cmmlib.cli.main import main

SECONDS = 10  # that one file may take
generator = torch.Generator().manual_seed(0)
BASE = {
    "fc.weight": torch.randn(4, 6, generator=generator),
    "fc.bias": torch.randn(4, generator=generator),
    "scale": torch.randn((), generator=generator),
}
MODEL = {key: tensor + 0.01 * torch.randn(tensor.shape, generator=generator) for key, tensor in BASE.items()}
CONFIG = {"peft_type": "LORA", "lora_alpha": 4, "r": 2, "fan_in_fan_out": False, "alpha_pattern": {"fc": 3}}
LORA = {"base_model.model.fc.lora_A.weight": torch.randn(2, 6), "base_model.model.fc.lora_B.weight": torch.randn(4, 2)}
ODD = [-1, 0, 1, 2, 3, 7, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 2**64 - 1, 10**400, 0.5, 1e308, True, None]
ODD += [
    "",
    "F32",
    "x" * 9000,
    "\ud800",
    "../../etc/passwd",
    "/etc/passwd",
    "a\x00b",
    "__metadata__",
    "fc.bias",
    [],
    {},
    [[]],
]


def mutate_json(value: object, rng: random.Random) -> object:
    """Change, remove, add, rename or double something, somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.65:
            return value | {key: mutate_json(value[key], rng)}
        rest = {k: v for k, v in value.items() if k != key}
        if how < 0.75:
            return rest
        other = rng.choice([o for o in ODD if isinstance(o, str)])
        return rest | {other: value[key]} if how < 0.9 else value | {other: value[key]}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        how = rng.random()
        if how < 0.7:
            return [*value[:place], mutate_json(value[place], rng), *value[place + 1 :]]
        return value[:place] + value[place + (how < 0.8) :] + ([rng.choice(ODD)] if how >= 0.8 else [])
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return value + rng.choice([-8, -4, -1, 1, 4, 8])
    if value in ("F32", "F16") and rng.random() < 0.7:
        return rng.choice(["F16", "BF16", "F64", "I32", "U8", "F8_E4M3", "F4", "BOOL", "C64", "f32", "F128"])
    return rng.choice(ODD)


def dumped(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    how, place = rng.randrange(5), rng.randrange(len(data) + 1)
    if how == 0:
        return data[:place]
    if how == 1:
        return data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:]
    if how == 2:
        return data[:place] + data[place + rng.randrange(1, 9) :]
    if how == 3:
        return data + rng.randbytes(rng.randrange(1, 9))
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = data[8 : 8 + length], data[8 + length :]
    how = rng.randrange(7)
    if how == 0:
        return mutate_bytes(data, rng)
    if how == 1:  # the length alone
        claimed = rng.choice(
            [0, 1, 2, length - 1, length + 1, len(data), 2**32, 2**63, 2**64 - 1, rng.randrange(2 * length)]
        )
        return struct.pack("<Q", claimed) + header + tensors
    if how == 2:
        header = mutate_bytes(header, rng)
    elif how == 3:
        header = rng.choice(
            [b"", b"{}", b"[]", b"null", b'{"a":NaN}', b"[" * 100_000, b'{"a":' * 50_000, header + header, b"\xff\xfe"]
        )
    elif how == 4:  # a name twice
        header = header.rstrip()[:-1] + b"," + header.strip()[1:]
    elif how == 5:
        tensors = mutate_bytes(tensors, rng)
    else:
        header = dumped(mutate_json(json.loads(header), rng))
    return struct.pack("<Q", len(header)) + header + tensors


def folders(rng: random.Random, root: Path) -> Iterator[Path]:
    """Damaged models without end, each in a folder of its own that is removed when the next is asked for."""
    save_file(MODEL, root / "good.safetensors")
    save_file(LORA, root / "lora.safetensors")
    torch.save(MODEL, root / "good.bin")
    good, lora, pickled = ((root / name).read_bytes() for name in ("good.safetensors", "lora.safetensors", "good.bin"))
    first, second = {"fc.weight": MODEL["fc.weight"]}, {key: MODEL[key] for key in ("fc.bias", "scale")}
    shards = {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": second}
    index = {"metadata": {"total_size": 116}, "weight_map": {key: file for file, part in shards.items() for key in part}}
    while True:
        folder = root / "damaged"
        folder.mkdir()
        kind = rng.random()
        if kind < 0.6:
            (folder / "model.safetensors").write_bytes(mutate_safetensors(good, rng))
        elif kind < 0.75:
            for file, part in shards.items():
                save_file(part, folder / file)
            text = dumped(mutate_json(index, rng)) if rng.random() < 0.7 else mutate_bytes(dumped(index), rng)
            (folder / "model.safetensors.index.json").write_bytes(text)
            if rng.random() < 0.4:
                victim = folder / rng.choice(list(shards))
                victim.write_bytes(mutate_safetensors(victim.read_bytes(), rng))
        elif kind < 0.9:
            config, adapter = dumped(CONFIG), lora
            if rng.random() < 0.6:
                config = dumped(mutate_json(CONFIG, rng)) if rng.random() < 0.7 else mutate_bytes(config, rng)
            else:
                adapter = mutate_safetensors(lora, rng)
            (folder / "adapter_config.json").write_bytes(config)
            (folder / "adapter_model.safetensors").write_bytes(adapter)
        else:
            (folder / "pytorch_model.bin").write_bytes(mutate_bytes(pickled, rng))
        yield folder
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def expected(folder: Path) -> dict[str, Tensor] | None:
    """What the safetensors library reads in the folder; None for an adapter or a ``.bin``."""
    try:
        shards = [load(file.read_bytes()) for file in folder.glob("model*.safetensors")]
        return {key: tensor for shard in shards for key, tensor in shard.items()} or None
    except SafetensorError as error:
        raise AssertionError(f"accepted what the safetensors library refuses: {error}") from None


def judge(code: int, out: str, err: str, folder: Path, state: Path, before: dict[str, bytes], start: Path) -> str:
    """ "refused" or "accepted"; an AssertionError for all that must not happen."""
    assert "Traceback" not in err + out, err
    if code == 2:
        assert re.search(r"cmm: .*damaged", err), err  # the file's folder is called so
        assert contents(state) == before, "a refusal changed the state"
        return "refused"
    assert code == 0, (code, err)
    tensors = expected(folder)
    if tensors is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged values that are implausibly large
            merged = ContinualMerger(start / "base.safetensors", "weight_average").add(tensors).merged()
        ours = ContinualMerger.load(state).merged()
        assert all(torch.equal(ours[key], merged[key]) for key in merged), "read otherwise than the safetensors library does"
    shutil.rmtree(state)
    shutil.copytree(start / "state", state)
    return "accepted"


def fuzz(count: int, seed: int, command: Callable[[list[str]], tuple[int, str, str]], root: Path) -> Counter[str]:
    save_file(BASE, root / "base.safetensors")
    ContinualMerger(root / "base.safetensors", "weight_average").save(root / "state")
    work = root / "work"
    shutil.copytree(root / "state", work)
    before, outcomes = contents(work), Counter()
    scratch = root / "scratch"
    scratch.mkdir()
    for number, folder in zip(range(count), folders(random.Random(seed), scratch), strict=False):
        try:
            outcomes[judge(*command(["add", str(work), str(folder)]), folder, work, before, root)] += 1
        except BaseException as error:
            kept = Path(tempfile.mkdtemp(prefix="fuzz-failure-"))
            shutil.copytree(folder, kept / "damaged")
            raise AssertionError(f"file {number} of seed {seed}, kept in {kept}: {type(error).__name__}: {error}") from error
    return outcomes


def in_process(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()

    def alarm(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return code, out.getvalue(), err.getvalue()


def as_process(arguments: list[str]) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "cmmlib.cli.main", *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_damaged_files_are_refused_or_read_right(tmp_path: Path):
    outcomes = fuzz(250, 0, in_process, tmp_path)
    assert outcomes["refused"] > 100 and outcomes["accepted"] > 5, outcomes


def test_a_hostile_header_cannot_make_it_allocate(tmp_path: Path):
    ContinualMerger(BASE, "weight_average").save(tmp_path / "state")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hostile = [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 99_000_000) + b"[" * 99_000_000,  # a header within the format's own limit, and really there
        struct.pack("<Q", 70) + b'{"fc.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
    ]
    for number, data in enumerate(hostile):
        (tmp_path / f"damaged{number}.safetensors").write_bytes(data)
        del data
        code, _, err = in_process(
            ["add", str(tmp_path / "state"), str(tmp_path / f"damaged{number}.safetensors"), "--base", "x"]
        )
        assert code == 2 and "Traceback" not in err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB, the test's own 99 MB among them


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--processes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for count, command, what in (
        (options.count, in_process, "in one process"),
        (options.processes, as_process, "as processes"),
    ):
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            result = fuzz(count, options.seed + (command is as_process), command, Path(place))
        print(
            f"{count} damaged checkpoints {what}: {dict(result)}, {time.perf_counter() - begin:.0f} s, none failed",
            flush=True,
        )
    sys.exit(os.EX_OK)
