"""What can be wrong with a state's JSON is said before anything stumbles over it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmmlib.merging.state_json import GENERATION, VERSION, fault_of, generation_name, upgraded

FIRST_VERSION = json.loads((Path(__file__).parent / "states" / "opcm" / "state.json").read_text())
RECORD = upgraded(FIRST_VERSION)
NEEDED = ["method", "parameters", "compute_dtype", "reference_compat", "hash_scheme", "ties_apart", "base", "layers"]
NEEDED += ["running_norm", "models"]


def test_a_state_without_fault_has_none():
    assert fault_of(RECORD) is None


@pytest.mark.parametrize("key", NEEDED)
def test_what_is_missing_or_of_another_kind_is_named(key: str):
    for changed in ({name: value for name, value in RECORD.items() if name != key}, {**RECORD, key: None}):
        assert str(fault_of(changed)).startswith(f"{key!r} is missing or no ")


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda r: r["base"].pop("hash"), "'base' lacks its hash or source"),
        (lambda r: r["base"].update(source=7), "'base' lacks its hash or source"),
        (lambda r: r["layers"].pop("free"), "'layers' is not linear, free, convolution, statistic, fixed"),
        (lambda r: r["layers"].update(linear=[1]), "'layers' is not linear, free, convolution, statistic, fixed"),
        (lambda r: r["layers"].pop("stored"), "'layers' does not say how they are stored"),
        (lambda r: r["layers"]["stored"].update(w={"rows": [2, -1]}), "'layers' says of 'w' what it cannot be"),
        (lambda r: r["layers"]["stored"].update(w={"transposed": 1}), "'layers' says of 'w' what it cannot be"),
        (lambda r: r["models"][0].update(hash=7), "'models' holds an entry without name, hash, time or norm"),
        (lambda r: r["models"].append("task9"), "'models' holds an entry without name, hash, time or norm"),
        (lambda r: r["models"][0]["history"].clear(), "'models' holds an entry without name, hash, time or norm"),
        (lambda r: r.update(running="running-0.safetensors"), "'running' names no generation"),
        (lambda r: r.update(running="../running-2.safetensors"), "'running' names no generation"),
        (lambda r: r.update(running=None), "'running' and 'models' contradict each other"),
        (lambda r: r.update(models=[]), "'running' and 'models' contradict each other"),
    ],
)
def test_what_does_not_hold_together_is_said(edit: Callable[[dict[str, Any]], object], fault: str):
    record = copy.deepcopy(RECORD)
    edit(record)
    assert fault_of(record) == fault


def test_a_model_whose_hash_was_not_taken_is_no_fault():
    record = copy.deepcopy(RECORD)
    record["models"][0]["hash"] = None
    assert fault_of(record) is None


def test_the_first_version_becomes_this_one():
    assert RECORD["version"] == VERSION and RECORD["hash_scheme"] == "stream" and RECORD["ties_apart"]
    assert RECORD["layers"]["linear"] == FIRST_VERSION["layers"]["linear"]
    assert FIRST_VERSION["version"] == 1 and upgraded(RECORD) is RECORD
    broken = upgraded({**FIRST_VERSION, "layers": {"linear": []}})
    assert fault_of(broken) == "'layers' is not linear, free, convolution, statistic, fixed"


def test_generations_are_numbered_by_models():
    assert generation_name(0) is None and generation_name(12) == "running-12.safetensors"
    assert all(GENERATION.fullmatch(str(generation_name(models))) for models in (1, 10, 999_999_999))


def test_a_state_is_looked_at_without_torch():
    script = (
        "import sys; from cmmlib.merging.state_folder import StateFolder; "
        "StateFolder(sys.argv[1]).record(); print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    state = Path(__file__).parent / "states" / "opcm"
    done = subprocess.run([sys.executable, "-c", script, state], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
