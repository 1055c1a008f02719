"""What the tests of models and merging share: small models, paths of the golden models, and comparisons."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save, save_file
from torch import Tensor

from cmmlib.models import open_model

State = dict[str, Tensor]

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, TASKS = GOLDEN / "base.safetensors", [GOLDEN / f"task{i}.safetensors" for i in range(4)]
PREFIX = "vision_model."

METHODS = ["weight_average", "task_arithmetic", "ties", "magmax", "opcm", "dop"]
QUICK = {"dop": {"num_steps": 3}}  # parameters that make slow methods fast

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2), "out.bias": torch.zeros(4)}
WHOLE = save(STATE)


def read(path: str | Path) -> State:
    """All tensors of a model on disk."""
    source = open_model(path)
    return {name: source.read(name) for name in source.shapes}


def same(one: State, other: State) -> bool:
    """Whether two models have equal tensors, in any order of names."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def same_in_order(one: State, other: State) -> bool:
    """Whether two models have equal tensors, in the same order of names."""
    return list(one) == list(other) and same(one, other)


def without_prefix(state: State) -> State:
    """A vision tower's tensors under the names of transformers 5."""
    return {key.removeprefix(PREFIX): tensor for key, tensor in state.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """Path → bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sharded(folder: Path, shards: object = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")) -> Path:
    """Write `STATE` in two files in ``folder``, with an index that names ``shards``; returns the folder."""
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    save_file({"fc.weight": STATE["fc.weight"]}, folder / first)
    save_file({key: STATE[key] for key in ("fc.bias", "out.bias")}, folder / second)
    one, two = shards
    index = {"metadata": {}, "weight_map": {"fc.weight": one, "fc.bias": two, "out.bias": two}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def broken(state: State, fault: str) -> State:
    """A copy of a model with the shapes of the fixture ``toy``, with a fault."""
    state = {key: tensor.clone() for key, tensor in state.items()}
    if fault == "missing":
        del state["fc.bias"]
    elif fault == "extra":
        state["head.weight"] = torch.zeros(2, 2)
    elif fault == "misshapen":
        state["fc.weight"] = state["fc.weight"].T.contiguous()
    elif fault in ("nan", "inf"):
        state["fc.weight"][1, 2] = float(fault)
    elif fault == "integer":
        state["fc.weight"] = state["fc.weight"].to(torch.int8)
    return state
