"""References that merge all models at once: which parameters they merge, and that their scores are kept."""

import pytest
import torch

from cmmlib.experiments import at_once
from cmmlib.experiments.at_once import REGMEAN, at_once_accuracies, at_once_rows, layer_by_layer
from cmmlib.experiments.store import Results

from ..helpers.golden_suite import SUITE, TASKS, Scorer


def test_matrices_are_merged_and_all_else_is_averaged():
    torch.manual_seed(0)
    shapes = {"fc": (3, 4), "conv": (3, 2, 2, 2), "bias": (3,)}
    taus = [{name: torch.randn(shape) for name, shape in shapes.items()} for _ in range(2)]
    kinds = {"fc": "linear", "conv": "convolution", "bias": "other"}

    def doubled(parts):
        assert all(part.ndim == 2 for part in parts)
        return 2 * torch.stack(list(parts)).sum(0)

    for convolution in (True, False):
        merged = layer_by_layer(doubled, taus, kinds, convolution=convolution)
        for name, factor in (("fc", 2.0), ("conv", 2.0 if convolution else 0.5), ("bias", 0.5)):
            torch.testing.assert_close(merged[name], factor * (taus[0][name] + taus[1][name]))


def test_task_arithmetic_takes_the_published_factor():
    taus = [{"w": torch.ones(2)}, {"w": torch.full((2,), 3.0)}]
    for number, scaling in ((8, 0.3), (20, 0.1)):
        (label, merge), *_ = at_once_rows(number).items()
        assert f"{scaling:g}" in label
        torch.testing.assert_close(merge(taus, {})["w"], torch.full((2,), 4 * scaling))


def test_scores_are_kept_and_not_measured_twice(tmp_path, monkeypatch):
    calls = []

    def mean(taus, kinds):
        calls.append(len(taus))
        return {name: torch.stack([tau[name] for tau in taus]).mean(0) for name in taus[0]}

    monkeypatch.setattr(at_once, "at_once_rows", lambda number: {"mean": mean})
    monkeypatch.setattr(at_once, "tasks_moments", lambda scorer, towers: {task: {} for task in towers})
    scorer = Scorer()
    scorer.suite, scorer.backbone = SUITE, "tiny"
    store = Results(tmp_path / "scores.sqlite")
    found = at_once_accuracies(scorer, TASKS[:3], store)
    assert found["label"].tolist() == ["mean", REGMEAN] and (found["num_tasks"] == 3).all()
    # without any second moment RegMean is the mean too
    assert found["acc"][0] == pytest.approx(found["acc"][1])
    again = at_once_accuracies(scorer, TASKS[:3], store)
    assert calls == [3] and again.equals(found) and len(scorer.asked) == 2
