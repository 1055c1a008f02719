"""An empty cache for every test; a base, towers and a scorer for those that ask."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cmmlib.evaluation import ZeroShotScorer
from cmmlib.suites.mini.suite import MiniSuite

from .fake_suite import FakeSuite


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of preprocessed images in an empty cache; it is not there yet."""
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mini suite's base."""
    folder = tmp_path_factory.mktemp("base") / "base"
    shutil.copytree(MiniSuite().base(MiniSuite().backbones[0]), folder)
    return folder


@pytest.fixture
def suite(base: Path, cache: Path) -> FakeSuite:
    return FakeSuite(base)


@pytest.fixture
def scorer(suite: FakeSuite) -> ZeroShotScorer:
    return ZeroShotScorer(suite, suite.backbones[0], batch_size=4)


@pytest.fixture(scope="module")
def towers(base: Path) -> dict[str, dict[str, Tensor] | None]:
    """The base's tower and two of noise around it."""
    own = {k: v for k, v in load_file(base / "model.safetensors").items() if k.startswith("vision_model.")}
    found: dict[str, dict[str, Tensor] | None] = {"pretrained": None}
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        found[f"noise {seed}"] = {k: v + 0.05 * torch.randn(v.shape, generator=generator) for k, v in own.items()}
    return found
