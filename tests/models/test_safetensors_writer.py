"""safetensors files written tensor by tensor: the library reads them, and nothing half-written is left."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from cmmlib.models.safetensors_reader import read_header
from cmmlib.models.safetensors_writer import Writer, header_room

from ..helpers.models import STATE, same

TENSORS = {**STATE, "half": torch.ones(3, 2).half().T, "scalar": torch.tensor(1.5).bfloat16(), "none": torch.zeros(0, 4)}


def test_the_library_reads_what_is_written_with_its_metadata_and_checksums(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    with Writer(path, room=header_room(TENSORS), metadata={"format": "pt"}, checksums=True) as writer:
        for name, tensor in TENSORS.items():
            writer.put(name, tensor)
    assert same(load_file(path), TENSORS)
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"
    bias = TENSORS["fc.bias"].numpy().tobytes()
    assert read_header(path).metadata["crc32:fc.bias"] == f"{zlib.crc32(bias):08x}"
    assert writer.length == sum(tensor.nbytes for tensor in TENSORS.values())


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the one before")
    with pytest.raises(KeyError), Writer(path, room=header_room(STATE)) as writer:
        writer.put("fc.bias", STATE["fc.bias"])
        writer.put("ids", torch.zeros(3, dtype=torch.complex128))  # which the format has not
    with pytest.raises(ValueError, match=r"a header of \d+ bytes does not fit in 16"), Writer(path, room=10) as writer:
        writer.put("fc.bias", STATE["fc.bias"])
    assert path.read_bytes() == b"the one before" and list(tmp_path.iterdir()) == [path]


def test_room_is_enough_for_any_names(tmp_path: Path):
    names = ['quote"\\', "é" * 50, "\n\x00", "x" * 5000, *map(str, range(200))]
    with Writer(tmp_path / "model.safetensors", room=header_room(names), checksums=True) as writer:
        for name in names:
            writer.put(name, torch.zeros(1, 2, 3))
    assert set(load_file(tmp_path / "model.safetensors")) == set(names)
