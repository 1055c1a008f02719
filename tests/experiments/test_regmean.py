"""RegMean with true second moments, against its equations."""

import numpy as np
import torch
from torch import nn

from cmmlib.evaluation import ZeroShotScorer
from cmmlib.experiments.regmean import regmean, second_moments, tasks_moments
from cmmlib.models.opening import open_model
from cmmlib.suites.mini.suite import MiniSuite

from ..evaluation.fake_suite import FakeSuite


def test_moments_are_those_of_what_a_layer_is_given():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.Flatten(2), nn.Linear(9, 5))
    images = torch.randn(7, 3, 6, 6)
    found = second_moments(net, images)
    patches = torch.stack(
        [image[:, i : i + 2, j : j + 2].flatten() for image in images for i in (0, 2, 4) for j in (0, 2, 4)]
    )
    rows = net[1](net[0](images)).detach().reshape(-1, 9)
    assert found.keys() == {"0.weight", "2.weight"}
    torch.testing.assert_close(found["0.weight"], (patches.T @ patches / len(patches)).double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["2.weight"], (rows.T @ rows / len(rows)).double(), rtol=1e-5, atol=1e-5)
    assert not net[0]._forward_pre_hooks  # the model is left as it was


def test_the_merged_layer_changes_the_outputs_least():
    """M minimises Σ E‖(M − τ_i) x‖²: no nearby matrix is better."""
    generator = torch.Generator().manual_seed(0)
    taus = [{"w": torch.randn(4, 6, generator=generator, dtype=torch.float64)} for _ in range(3)]
    inputs = [torch.randn(50, 6, generator=generator, dtype=torch.float64) * (i + 1) for i in range(3)]
    moments = [{"w": x.T @ x / len(x)} for x in inputs]
    merged = regmean(taus, moments)["w"]

    def change(m):
        return sum(((m - tau["w"]) @ x.T).square().sum() / len(x) for tau, x in zip(taus, inputs, strict=True))

    for _ in range(20):
        assert change(merged) < change(merged + 1e-3 * torch.randn(4, 6, generator=generator, dtype=torch.float64))


def test_a_convolution_counts_as_a_matrix_and_all_else_is_averaged():
    torch.manual_seed(0)
    convolution = [{"c": torch.randn(4, 3, 2, 2), "b": torch.randn(4)} for _ in range(2)]
    grams = [{"c": torch.eye(12, dtype=torch.float64) * weight} for weight in (1, 3)]
    merged = regmean(convolution, grams)
    torch.testing.assert_close(merged["c"], (convolution[0]["c"] + 3 * convolution[1]["c"]) / 4)
    torch.testing.assert_close(merged["b"], (convolution[0]["b"] + convolution[1]["b"]) / 2)
    alone = regmean(convolution[:1], grams[:1])
    torch.testing.assert_close(alone["c"], convolution[0]["c"])


def test_each_task_is_seen_through_its_own_tower(tmp_path, monkeypatch):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    backbone = MiniSuite().backbones[0]
    scorer = ZeroShotScorer(FakeSuite(MiniSuite().base(backbone)), backbone)
    source = open_model(scorer.suite.base(backbone))
    base = {name: source.read(name) for name in source.names}
    changed = {name: value * (0.0 if name.startswith("embeddings") else 1.0) for name, value in base.items()}
    found = tasks_moments(scorer, {"signs": base, "moods": base})
    other = tasks_moments(scorer, {"signs": base, "moods": changed})
    key, patch = "encoder.layers.0.mlp.fc1.weight", "embeddings.patch_embedding.weight"
    assert all(torch.equal(found["signs"][name], other["signs"][name]) for name in found["signs"])
    assert not torch.equal(found["moods"][key], other["moods"][key])
    assert torch.equal(found["moods"][patch], other["moods"][patch])  # the images are the same
    assert np.all(np.linalg.eigvalsh(found["moods"][key].numpy()) > -1e-9)
