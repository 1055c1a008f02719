import pytest
import torch

from cmmlib.bench.random_towers import Towers, random_model


@pytest.fixture
def base() -> dict[str, torch.Tensor]:
    shapes = {"q_proj.weight": (8, 8), "mlp.fc1.weight": (16, 8), "mlp.fc1.bias": (16,)}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def models(base: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    return [random_model(base, seed) for seed in range(1, 5)]


@pytest.fixture
def towers(base: dict[str, torch.Tensor], models: list[dict[str, torch.Tensor]]) -> Towers:
    return Towers(base, *models[:2])
