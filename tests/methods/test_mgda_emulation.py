"""``alpha="mgda"``: the recursion it emulates, and how near it ends to the published solver on the golden models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from cmmlib.methods import dop, exact
from cmmlib.methods.losses import Quadratic, quadratic
from cmmlib.models import open_model
from cmmlib.models.stored_layers import layer_kinds

from ..helpers.layers import f64

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = json.loads((GOLDEN / "cases.json").read_text())["dop_mgda_ema_uv"]["params"]
PUBLISHED_STEPS = 200  # the golden case has 40
RATES = (1e-4, 1e-3)  # the published one, and a larger one


@given(st.integers(0, 10**6), st.floats(-2, 2), st.sampled_from([(5, 5), (3, 8), (8, 3), (1, 4)]))
def test_emulated_mgda_equals_the_recursion_written_out(seed: int, log_ratio: float, shape: tuple[int, int]):
    g = torch.Generator().manual_seed(seed)
    old, new = (quadratic(f * torch.randn(shape, generator=g, dtype=f64), "uv", 0.99999) for f in (1.0, 10**log_ratio))
    front, a = exact.Front(old, new), 0.8
    for _ in range(40):
        point = front.at(a)
        (g0, l0), (g1, l1) = (loss.gradient(point.x) for loss in (front.old, front.new))
        assert (point.l0, point.l1) == (pytest.approx(l0), pytest.approx(l1))
        g0, g1 = g0 / l0, g1 / l1
        c = dop.mgda_weight(*(float(torch.sum(p * q)) for p, q in ((g0, g0), (g0, g1), (g1, g1))))
        a = 0.99 * a + 0.01 * min(max(c, 0.0), 1.0)
    assert exact.follow_mgda(front, 0.8, 0.99, 40) == pytest.approx(a, abs=2e-3)


def test_emulated_mgda_ends_balanced_if_it_runs_for_ever():
    g = torch.Generator().manual_seed(1)
    old, new = (quadratic(torch.randn(5, 6, generator=g, dtype=f64), "uv", 0.99999) for _ in range(2))
    a = exact.follow_mgda(exact.Front(old, new), 0.8, 0.99, 20000, nodes=24)
    assert a == pytest.approx(exact.solve_exact(old, new, "balanced")[1], abs=1e-3)


def test_emulated_mgda_is_where_the_published_solver_goes():
    """On the golden models: nearly the same weight as 200 Adam steps, and never above in the weighted loss."""
    base, old, new = (load_file(GOLDEN / f"{name}.safetensors") for name in ("base", "task0", "task1"))
    for name in [name for name in base if name.endswith(("q_proj.weight", "fc1.weight"))][:3]:
        losses = [quadratic(model[name] - base[name], "uv", 0.99999) for model in (old, new)]
        settings = dict(lr=1e-4, num_steps=200, alpha=0.8, mgda=True, ema=True, ema_beta=0.999)
        adam, a_adam = dop.solve_adam(*losses, **settings)
        found = exact.minimise(exact.Front(*losses), "mgda")
        assert found.a == pytest.approx(a_adam, abs=0.02)
        reached = [q.gradient(adam)[1] for q in losses]
        assert found.a * found.l0 + (1 - found.a) * found.l1 <= found.a * reached[0] + (1 - found.a) * reached[1] + 1e-9


class End(NamedTuple):
    a: float
    l0: float
    l1: float


class Layer:
    """One linear layer of base, task0 and task1."""

    def __init__(self, old: Tensor, new: Tensor):
        self.taus = old, new
        self.losses = self._losses(torch.float64)
        self.front = exact.Front(*self.losses)

    def _losses(self, dtype: torch.dtype) -> tuple[Quadratic, Quadratic]:
        old, new = (quadratic(tau.to(dtype), CASE["svd_proj_space"], CASE["svd_epsilon"]) for tau in self.taus)
        return old, new

    def adam(self, steps: int, **other) -> End:
        """The published solver, in float32 as published; its losses in float64."""
        settings = {name: CASE[name] for name in ("lr", "alpha", "mgda", "ema", "ema_beta")} | other
        x, a = dop.solve_adam(*self._losses(torch.float32), num_steps=steps, **settings)
        l0, l1 = (loss.gradient(x.double())[1] for loss in self.losses)
        return End(a, l0, l1)

    def emulated(self, steps: int) -> End:
        found = exact.minimise(self.front, "mgda", start=CASE["alpha"], beta=CASE["ema_beta"], steps=steps)
        return End(found.a, found.l0, found.l1)

    def excess(self, end: End) -> float:
        """How far a L_0 + (1 − a) L_1 is above its minimum for that a, as a share of the minimum."""
        best = self.front.at(end.a)
        return (end.a * end.l0 + (1 - end.a) * end.l1) / (end.a * best.l0 + (1 - end.a) * best.l1) - 1


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    base, *models = (open_model(GOLDEN / f"{name}.safetensors") for name in ("base", "task0", "task1"))
    kinds = layer_kinds(base)
    names = [name for name, kind in kinds.items() if kind == "linear"]
    assert len(names) == 12
    return [Layer(*(model.read(name) - base.read(name) for model in models)) for name in names]


def both(layers: list[Layer], steps: int) -> tuple[list[End], list[End]]:
    return [layer.adam(steps) for layer in layers], [layer.emulated(steps) for layer in layers]


def test_published_number_of_steps_ends_where_the_emulation_does(layers: list[Layer]):
    adam, emulated = both(layers, PUBLISHED_STEPS)
    for ours, theirs in zip(emulated, adam, strict=True):
        assert ours.a == pytest.approx(theirs.a, abs=0.008)
        assert ours.l0 == pytest.approx(theirs.l0, rel=0.09)
        assert ours.l1 == pytest.approx(theirs.l1, rel=0.04)
    assert sum(end.l0 for end in emulated) / sum(end.l0 for end in adam) == pytest.approx(1.027, abs=0.005)
    assert sum(end.l1 for end in emulated) / sum(end.l1 for end in adam) == pytest.approx(0.985, abs=0.005)


def test_published_number_of_steps_nearly_reaches_the_front(layers: list[Layer]):
    """Never below the minimum for its own a; 40 steps of 1e-4 end well above it, 200 within half a per cent."""
    for layer in layers:
        after_40, after_200 = (layer.excess(layer.adam(steps)) for steps in (CASE["num_steps"], PUBLISHED_STEPS))
        assert 0.3 < after_40 < 1.5
        assert 0 <= after_200 < 0.005


def test_the_sooner_on_the_front_the_nearer_to_the_emulation(layers: list[Layer]):
    """The emulation is on the front from the first step, Adam on its way there: with longer steps their a agree better."""
    goal = [layer.emulated(PUBLISHED_STEPS).a for layer in layers]
    apart = {
        lr: [abs(layer.adam(PUBLISHED_STEPS, lr=lr).a - a) for layer, a in zip(layers, goal, strict=True)] for lr in RATES
    }
    assert sum(apart[1e-3]) < sum(apart[1e-4]) / 2


def test_the_golden_case_stops_before_the_emulation_is_reached(layers: list[Layer]):
    """40 steps: the same weights a to a hundredth, but losses of two to three times the emulation's L_0."""
    adam, emulated = both(layers, CASE["num_steps"])
    assert max(abs(ours.a - theirs.a) for ours, theirs in zip(emulated, adam, strict=True)) < 0.01
    assert sum(end.l0 for end in adam) / sum(end.l0 for end in emulated) == pytest.approx(3.0, abs=0.2)
    assert sum(end.l1 for end in adam) / sum(end.l1 for end in emulated) == pytest.approx(1.44, abs=0.1)
