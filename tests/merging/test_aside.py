"""What a model has beside its weights is carried, averaged or left out, and never silently."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cmmlib import ContinualMerger, merge

from ..helpers.architectures import built, loaded, saved, tuned
from ..helpers.models import read, same

BASE = {"fc.weight": torch.eye(3), "norm.running_mean": torch.zeros(3), "norm.running_var": torch.ones(3)}
COUNTER = {"norm.num_batches_tracked": torch.tensor(3)}
TUNED = 1.1 * torch.eye(3)
MASK = {"mask": torch.full((3, 3), float("-inf")).triu(1), "causal": torch.ones(3, 3, dtype=torch.bool).tril()}


def model(mean: float, var: float, **more: Tensor) -> dict[str, Tensor]:
    return {
        "fc.weight": torch.eye(3) + 0.1 * mean,
        "norm.running_mean": torch.full((3,), float(mean)),
        "norm.running_var": torch.full((3,), float(var)),
        **more,
    }


@pytest.mark.parametrize("method", ["task_arithmetic", "magmax", "ties", "weight_average"])
def test_statistics_are_averaged_whatever_the_method(method: str):
    merger = ContinualMerger(BASE, method)
    averaged = r"statistics of BatchNorm \('norm\.running_mean' and 1 more\) are averaged"
    merger_says = pytest.warns(UserWarning, match=averaged)
    for mean, var in ((1, 0.25), (2, 0.5), (3, 0.0)):
        with merger_says if not len(merger) else contextlib.nullcontext():  # once
            merger.add(model(mean, var))
    merged = merger.merged()
    assert torch.allclose(merged["norm.running_mean"], torch.full((3,), 2.0))
    assert torch.allclose(merged["norm.running_var"], torch.full((3,), 0.25)) and (merged["norm.running_var"] >= 0).all()
    assert merger.history["task_vector_norm"].tolist() == pytest.approx([0.3, 0.6, 0.9]), "no part of the task vector"


def test_a_merge_with_statistics_goes_on_from_its_folder(tmp_path: Path):
    models = [model(1, 0.25), model(2, 0.5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = merge(BASE, models, method="task_arithmetic")
        ContinualMerger(BASE, "task_arithmetic").save(tmp_path / "state")
        for each in models:
            ContinualMerger.load(tmp_path / "state", base=BASE).add(each)
    merger = ContinualMerger.load(tmp_path / "state", base=BASE)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in merger.merged().items())
    assert merger.recipe.composition["averaged"] == 2


def test_masks_counters_and_indices_are_carried_through(tmp_path: Path):
    base = {**BASE, **COUNTER, **MASK}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merger = ContinualMerger(base, "weight_average").add({**base, "fc.weight": TUNED})
    merged = merger.merged()
    assert all(torch.equal(merged[name], base[name]) for name in (*COUNTER, *MASK))
    assert torch.equal(merged["fc.weight"], TUNED)
    assert same(
        read(merger.export(tmp_path / "out")),
        {name: t for name, t in base.items() if t.is_floating_point()} | {"fc.weight": TUNED},
    )
    assert merger.recipe.composition["carried"] == 3 and merger.history["left_out"].tolist() == [0]


def test_a_mask_that_differs_is_refused_and_a_counter_that_differs_is_said():
    base = {**BASE, **COUNTER, **MASK}
    merger = ContinualMerger(base, "weight_average")
    with pytest.raises(ValueError, match="'mask' holds NaN or infinity"):
        merger.add({**base, "fc.weight": TUNED, "mask": MASK["mask"].T.contiguous()})
    with pytest.warns(UserWarning, match="that differ from the base's .'causal'. stay the base's"):
        other = {"norm.num_batches_tracked": torch.tensor(9), "causal": MASK["causal"].T.contiguous()}
        merger.add({**base, "fc.weight": TUNED, **other})
    assert merger.merged()["norm.num_batches_tracked"] == 3 and merger.history["left_out"].tolist() == [1]


def test_buffers_that_the_base_has_not_are_named():
    more = {"attn.bias": MASK["causal"], "embeddings.position_ids": torch.arange(5)}
    with pytest.warns(UserWarning, match=r"buffers that the base has not \('attn\.bias'\) are left out"):
        merger = ContinualMerger(BASE, "weight_average").add({**BASE, "fc.weight": TUNED, **more})
    assert merger.merged().keys() == BASE.keys()


def test_a_convolutional_network_merges_to_one_that_computes_numbers(tmp_path: Path):
    net = built("ResNet")
    models = []
    for seed in range(5):
        each = tuned(net, seed + 1)
        for module in each.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var *= 0.25
        models.append(saved(each, tmp_path / f"{seed}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merger = ContinualMerger(saved(net, tmp_path / "base"), "task_arithmetic")
        for each in models:
            merger.add(each)
    merged = loaded(net, merger.export(tmp_path / "out"))
    assert min(float(tensor.min()) for name, tensor in merged.items() if "running_var" in name) >= 0
    net.load_state_dict(merged, strict=False)
    assert net.eval()(torch.randn(1, 3, 32, 32)).logits.isfinite().all()


def test_a_tuned_text_tower_is_said_with_its_norm_and_a_tower_alone_is_not(golden_whole: tuple):
    base, whole, norm, parts = golden_whole
    with pytest.warns(
        UserWarning, match=rf"text tower or projections differ .*norm of the difference {norm}\) and are left out"
    ):
        merger = ContinualMerger(base, "weight_average").add(whole)
    assert merger.history["left_out"].tolist() == [parts]


@pytest.fixture
def golden_whole() -> tuple:
    tower = {"vision_model.pre_layrnorm.weight": torch.ones(2), "vision_model.fc.weight": torch.eye(2)}
    rest = {"text_model.encoder.layers.0.mlp.fc1.weight": torch.eye(2), "logit_scale": torch.tensor(1.0)}
    tuned_tower = {**tower, "vision_model.fc.weight": 2 * torch.eye(2)}
    return {**tower, **rest}, {**tuned_tower, **rest, "logit_scale": torch.tensor(3.0)}, "2", 1


def test_a_whole_model_for_a_base_that_is_a_tower(golden_whole: tuple):
    base, whole, _, _ = golden_whole
    tower = {name: tensor for name, tensor in base.items() if name.startswith("vision_model.")}
    with pytest.warns(
        UserWarning, match="of a whole CLIP model only the vision tower is merged; 2 other tensors are left out"
    ):
        ContinualMerger(tower, "weight_average").add(whole)


@pytest.mark.filterwarnings("ignore:.*statistics of BatchNorm")
def test_statistics_are_kept_in_the_order_of_their_names_and_averaged_as_in_the_paper_under_reference_compat():
    merger = ContinualMerger(BASE, "weight_average", reference_compat=True)
    merger.add(model(1, 0.25)).add(model(2, 0.75))
    assert list(merger.standing.accumulated) == ["fc.weight", "norm.running_mean", "norm.running_var"]
    assert torch.allclose(merger.merged()["norm.running_var"], torch.full((3,), 0.5))
