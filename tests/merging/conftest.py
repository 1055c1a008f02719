"""Models that the tests of merging share."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModel

from cmmlib import ContinualMerger

from ..helpers.models import BASE, PREFIX, TASKS, State

TINY = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A state into which one model has been merged."""
    ContinualMerger(BASE, "opcm", hashes=True).add(TASKS[0]).save(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture(scope="session")
def folder(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Model folders as the hub has them, of the golden base and tasks."""
    root = tmp_path_factory.mktemp("models")

    def make(name: str) -> Path:
        target = root / name
        if not target.exists():
            target.mkdir()
            (target / "model.safetensors").write_bytes((golden / f"{name}.safetensors").read_bytes())
            (target / "config.json").write_bytes((golden / "config.json").read_bytes())
        return target

    return make


@pytest.fixture(scope="session")
def towers(golden: Path, clip_base: State, clip_models: list[State]) -> list[CLIPVisionModel]:
    """The golden base and its first two models as modules.  Not to be changed."""
    config = CLIPVisionConfig(**json.loads((golden / "config.json").read_text()))
    modules = []
    for state in (clip_base, *clip_models[:2]):
        module = CLIPVisionModel(config)
        expected = module.state_dict()
        module.load_state_dict({key: state[key if key in state else PREFIX + key] for key in expected})
        modules.append(module)
    return modules


@pytest.fixture(scope="session")
def whole_clips() -> list[CLIPModel]:
    """A tiny whole CLIP model and two fine-tuned from it, text towers too.  Not to be changed."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(**TINY, num_hidden_layers=1, image_size=8, patch_size=4, projection_dim=8)
    text = dict(
        **TINY,
        num_hidden_layers=1,
        vocab_size=50,
        max_position_embeddings=8,
        projection_dim=8,
        eos_token_id=2,
        bos_token_id=1,
        pad_token_id=0,
    )
    base = CLIPModel(CLIPConfig(vision_config=vision.to_dict(), text_config=text, projection_dim=8))
    models = [base]
    for _ in range(2):
        model = copy.deepcopy(base)
        with torch.no_grad():
            for parameter in model.parameters():  # the text tower too: it must not matter
                parameter.add_(0.1 * torch.randn_like(parameter))
        models.append(model)
    return models


@pytest.fixture(scope="session")
def whole_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A tiny whole CLIP model with processor files, and two models fine-tuned from it, as folders.  Not to be changed."""
    torch.manual_seed(0)
    tiny = dict(**TINY, num_hidden_layers=2, projection_dim=8)
    text = dict(**tiny, vocab_size=50, max_position_embeddings=8, eos_token_id=2, bos_token_id=1, pad_token_id=0)
    base = CLIPModel(CLIPConfig(vision_config=dict(**tiny, image_size=8, patch_size=4), text_config=text, projection_dim=8))
    root = tmp_path_factory.mktemp("whole")
    models = []
    for name in ("base", "one", "two"):
        model = copy.deepcopy(base)
        if name != "base":
            with torch.no_grad():
                for parameter in model.parameters():  # the text tower too: it must not matter
                    parameter.add_(0.002 * torch.randn_like(parameter))
        model.save_pretrained(root / name)
        models.append(root / name)
    (root / "base" / "preprocessor_config.json").write_text('{"do_resize": true}')
    (root / "base" / "vocab.json").write_text("{}")
    (root / "base" / "modeling_evil.py").write_text("raise SystemExit")
    return models[0], models[1:]
