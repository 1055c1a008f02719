"""What the tests of the merging core share: the golden files and tiny models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmmlib.methods import registry

from .helpers.hub import Hub, environment, running

torch.set_num_threads(1)  # many tiny factorisations: threads only get in each other's way
settings.register_profile("cmmlib", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("cmmlib")

GOLDEN = Path(__file__).parent / "golden"
TASKS = ("task0", "task1", "task2", "task3", "task4")

State = dict[str, Tensor]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write down why tests were skipped, for `make test`, which runs pytest twice and says it at its end."""
    if place := os.environ.get("CMMLIB_SKIPPED"):
        reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])}
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        with open(place, "a") as file:
            file.writelines(f"skipped: {reason}\n" for reason in reasons)


@pytest.fixture(autouse=True)
def own_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods that a test registers are gone after it."""
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the published code's outputs."""
    return GOLDEN


@pytest.fixture(scope="session")
def clip_base() -> State:
    """The golden vision tower, a CLIPVisionModel in float32 under the hub's key names.  Not to be changed."""
    return load_file(GOLDEN / "base.safetensors")


@pytest.fixture(scope="session")
def clip_models() -> list[State]:
    """The five models fine-tuned from it.  Not to be changed."""
    return [load_file(GOLDEN / f"{task}.safetensors") for task in TASKS]


def near(base: State, seed: int, scale: float = 0.1) -> State:
    """A model "fine-tuned" from ``base``: Gaussian noise added to every tensor."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + (scale * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)).to(tensor.dtype)
        for name, tensor in base.items()
    }


@pytest.fixture(scope="session")
def perturbed() -> Callable[..., State]:
    return near


@pytest.fixture
def toy() -> tuple[State, list[State]]:
    """A base of one linear weight and one bias, and three models; ``linear=["fc.weight"]``."""
    generator = torch.Generator().manual_seed(0)
    base = {"fc.weight": torch.randn(4, 6, generator=generator), "fc.bias": torch.randn(4, generator=generator)}
    return base, [near(base, seed) for seed in (1, 2, 3)]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[State, str], Path]:
    """Writes a mapping of tensors as a ``.safetensors`` file under the test's own folder."""

    def write(tensors: State, name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        return path

    return write


class ClipHub(NamedTuple):
    """The CLIP suite's stand-in: its files, a server that has them, and the environment of a process that uses it."""

    folder: Path  # folder / "models" and folder / "datasets" serve as models_dir and data_dir
    server: Hub
    environment: dict[str, str]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a hub would hold of the CLIP suite, tiny.  Not to be changed."""
    from .helpers import clip_standin as standin

    return standin.write(tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="session")
def clip_hub(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipHub]:
    """That content behind a hub on loopback.  Faults are for servers of a test's own."""
    with running() as server:
        server.serve_folder(clip_folder)
        yield ClipHub(clip_folder, server, environment(server.url, tmp_path_factory.mktemp("home")))
