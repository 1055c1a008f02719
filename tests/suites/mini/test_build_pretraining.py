"""Pretraining goes on after a stop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import CLIPTokenizer

from cmmlib.suites.mini.build import pretraining
from cmmlib.suites.mini.build.architecture import make_base
from cmmlib.suites.mini.shipped import ZOO

from .shipped import BACKBONE


def test_pretraining_goes_on_where_it_was_stopped(monkeypatch, tmp_path):
    tiny = SimpleNamespace(per_task=2, steps=5, batch=4, lr=1e-3, weight_decay=0.05, save_every=2)
    tokenizer = CLIPTokenizer.from_pretrained(ZOO / "tokenizer")

    def run(folder: Path, stop_before: int | None = None):
        calls = iter(range(tiny.steps))

        def update(*args):
            if next(calls) == stop_before:
                raise KeyboardInterrupt
            real(*args)

        folder.mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            real = pretraining.update
            patch.setattr(pretraining, "update", update)
            model = make_base(BACKBONE, tokenizer)
            images = pretraining.generic_images(folder / "images.npy", tiny.per_task)
            pretraining.pretrain(model, tokenizer, images, tiny, folder / "state.pt")
        return model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_before=3)
    assert (tmp_path / "parts" / "state.pt").exists()
    parts = run(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
