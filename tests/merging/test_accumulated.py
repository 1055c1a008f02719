"""What methods accumulate, a tensor or several for each parameter, in memory and in a file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from cmmlib import ContinualMerger
from cmmlib.merging.accumulated import OnDiskDraft
from cmmlib.methods import registry

from ..helpers.models import same_in_order


def test_a_method_of_several_tensors_goes_on_bit_for_bit(tmp_path: Path):
    @registry.method(finish=lambda value, ctx: value["sum"] / ctx.t + value["rows"].unsqueeze(-1))
    def parted(merged, task_vector, ctx):
        old = merged if ctx.t > 1 else {"sum": merged, "rows": merged.sum(-1)}
        return {"sum": old["sum"] + task_vector, "rows": old["rows"] + 0.01 * task_vector.sum(-1)}

    torch.manual_seed(0)
    base = {"a": torch.randn(3, 4), "b": torch.randn(5, 2)}
    models = [{key: x + 0.01 * torch.randn_like(x) for key, x in base.items()} for _ in range(3)]
    alone = ContinualMerger(base, "parted")
    alone.save(tmp_path / "state")
    for model in models:
        alone.add(model)
        ContinualMerger.load(tmp_path / "state", base=base).add(model)
    assert same_in_order(ContinualMerger.load(tmp_path / "state", base=base).merged(), alone.merged())


def test_a_method_may_keep_several_tensors_per_parameter(tmp_path: Path):
    draft = OnDiskDraft(tmp_path / "running-1.safetensors", ["a", "b"])
    draft.put("a", {"p": torch.ones(2, 2), "q": torch.zeros(3)})
    draft.put("b", torch.ones(1))
    stored = draft.close()
    assert set(load_file(draft.path)) == {"a::p", "a::q", "b"}
    assert stored["a"].keys() == {"p", "q"} and torch.equal(stored["a"]["p"], torch.ones(2, 2))
    assert torch.equal(stored["b"], torch.ones(1))
