"""Tied weights are found under whichever name a model has them."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from cmmlib import ContinualMerger


def test_gpt2_with_tied_weights_opens_however_the_model_was_saved(tmp_path: Path):
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(
        GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11, bos_token_id=1, eos_token_id=2)
    )
    gpt.save_pretrained(tmp_path / "base")  # one copy of the tied matrix
    tuned = copy.deepcopy(gpt)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.002 * torch.randn_like(parameter))
    (tmp_path / "bin").mkdir()
    torch.save(tuned.state_dict(), tmp_path / "bin" / "pytorch_model.bin")  # both names, one storage
    tuned.save_pretrained(tmp_path / "one")
    copies = {key: x.clone() for key, x in tuned.state_dict().items()}  # both names, two storages
    other = {key: x for key, x in copies.items() if key != "transformer.wte.weight"}  # the other name alone
    expected = ContinualMerger(tmp_path / "base", "opcm").add(tmp_path / "one").merged()
    for base in (tmp_path / "base", gpt):
        for model in (tmp_path / "bin", copies, tuned, *([other] if base is gpt else [])):
            merged = ContinualMerger(base, "opcm").add(model).merged()
            assert all(torch.equal(merged[key], expected[key]) for key in expected)
    assert torch.equal(merged["lm_head.weight"], merged["transformer.wte.weight"])
    out = ContinualMerger(tmp_path / "base", "opcm").add(tmp_path / "bin").export(tmp_path / "out")
    model, info = GPT2LMHeadModel.from_pretrained(out, output_loading_info=True)
    assert not any(info.values()) and torch.equal(model.lm_head.weight, expected["transformer.wte.weight"])
