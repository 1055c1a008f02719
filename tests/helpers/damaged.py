"""An endless supply of damaged checkpoints: bytes, headers, indices and configurations changed at random."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

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
    """A copy of a JSON value with one thing changed, removed, added, renamed or doubled at random."""
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
    if how == 1:  # only the length
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
    """Endless damaged models, each in a folder that is removed when the next is asked for."""
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
