"""Tables of the task vectors' spectra."""

import pytest
import torch

from cmmlib.analysis import layer_spectra

NAME = "encoder.layers.3.mlp.fc1.weight"


def test_every_layer_and_task_has_its_norm_and_its_ranks():
    tau = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    layers, _ = layer_spectra([(NAME, {"a": tau, "b": torch.eye(4)})], alpha=0.5)
    first, second = layers.to_dict("records")
    assert (first["layer"], first["depth"], first["kind"], first["task"]) == (NAME, 3, "fc1", "a")
    assert first["norm"] == pytest.approx(30**0.5) and first["full_rank"] == 4
    # cumulative shares 0.4, 0.7, 0.9, 1
    assert first["opcm_rank"] == 1 and first["rank_90"] in (3, 4) and first["dop_rank"] == 4
    assert second["effective_rank"] == pytest.approx(4) and second["effective_share"] == pytest.approx(1)


def test_curves_are_means_over_layers_and_tasks_of_a_kind():
    weights = [
        ("layers.0.q_proj.weight", {"a": torch.diag(torch.tensor([2.0, 2.0])), "b": torch.diag(torch.tensor([2.0, 1.0]))}),
        ("layers.0.fc1.weight", {"a": torch.eye(2)}),
    ]
    _, spectra = layer_spectra(weights, alpha=0.5)
    assert spectra[["kind", "position"]].values.tolist() == [["q", 0.5], ["q", 1.0], ["fc1", 0.5], ["fc1", 1.0]]
    assert spectra["relative"].tolist() == pytest.approx([1, 0.75, 1, 1])
    assert spectra["share"].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1, 0.5, 1])
