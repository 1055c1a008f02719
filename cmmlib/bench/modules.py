"""``python -m cmmlib.bench.modules``: merging modules in memory, against a plain loop that checks for NaN too.

Random vision towers of CLIP's shapes, all in this process.  The loop is what everybody writes over ``state_dict()``; ours is
`cmmlib.merge`.  Both take turns.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from ..merging.merge import merge
from ..terminal import run_command
from .random_towers import BACKBONES, random_model
from .timing import Work, measured, ready
from .tower_folder import config_of

Rule = Callable[[Tensor, Sequence[Tensor]], Any]
"""A parameter of the base and those of all models to the merged one."""

RULES: dict[str, Rule] = {
    "weight_average": lambda base, models: base + sum(model - base for model in models) / len(models),
    "task_arithmetic": lambda base, models: base + 0.3 * sum(model - base for model in models),
    "magmax": lambda base, models: base + 0.5 * reduce(_larger, [model - base for model in models]),
}


def _larger(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b.abs() >= a.abs(), b, a)


def random_modules(backbone: str, layers: int, count: int) -> list[nn.Module]:
    """A base and modules fine-tuned from it: a random task vector for every parameter."""
    config = config_of(backbone, layers)
    base = CLIPVisionModel(config).requires_grad_(False)
    modules: list[nn.Module] = [base]
    for seed in range(1, count + 1):
        module = copy.deepcopy(base)
        module.load_state_dict(random_model(dict(base.named_parameters()), seed), strict=False)  # but for its buffers
        modules.append(module)
    return modules


def by_loop(rule: Rule, modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The merged parameters.

    Raises:
        ValueError: an entry of a model is NaN.
    """
    base, *models = (dict(module.named_parameters()) for module in modules)
    merged = {}
    for name, tensor in base.items():
        tensors = [model[name] for model in models]
        if any(one.isnan().any() for one in tensors):
            raise ValueError(f"{name} has entries that are not a number")
        merged[name] = rule(tensor, tensors)
    return merged


def main() -> int:
    """Make the modules, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=BACKBONES, default="ViT-B/32")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    modules = random_modules(arguments.backbone, arguments.layers, arguments.models)
    base, *models = modules
    works: dict[tuple[str, str], Work] = {}
    for name, rule in RULES.items():
        works[name, "loop"] = partial(by_loop, rule, modules)
        works[name, "ours"] = partial(merge, base, models, method=name)
    costs = measured({key: ready(work) for key, work in works.items()}, arguments.rounds)
    about = f"{arguments.models} modules of {arguments.backbone}, {arguments.layers} layers"
    print(f"{about}; medians of {arguments.rounds} rounds")
    print(f"{'method':18}{'loop':>9}{'ours':>9}{'ours / loop':>13}{'peak MiB, loop / ours':>24}")
    for name in RULES:
        loop, ours = costs[name, "loop"], costs[name, "ours"]
        peaks = f"{loop.mib:.0f} / {ours.mib:.0f}"
        print(f"{name:18}{loop.seconds:7.2f} s{ours.seconds:7.2f} s{ours.seconds / loop.seconds:13.2f}{peaks:>24}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("modules", main))
