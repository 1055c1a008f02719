"""Parameter names: one spelling inside, the hub's on disk; index buffers are no parameters."""

from __future__ import annotations

import torch

from cmmlib import merge
from cmmlib.models.names import canonical_names, stored_name

from ..helpers.models import same


def test_integer_index_buffers_are_no_parameters(toy: tuple):
    base, models = toy
    with_ids = {**base, "embeddings.position_ids": torch.arange(5)}
    assert same(merge(with_ids, models, method="magmax"), merge(base, [models[0], *models[1:]], method="magmax"))


def test_a_towers_names_lose_their_prefix_and_get_it_back_on_disk():
    bare = ["embeddings.class_embedding", "pre_layrnorm.weight"]
    prefixed = ["vision_model." + name for name in bare]
    whole = [*prefixed, "text_model.final_layer_norm.weight", "logit_scale", "vision_model.embeddings.position_ids"]
    assert canonical_names(bare) == dict(zip(bare, bare, strict=True))
    assert canonical_names(prefixed) == canonical_names(whole) == dict(zip(bare, prefixed, strict=True))
    assert [stored_name(name, canonical_names(given)) for given in (bare, whole) for name in bare] == 2 * prefixed


def test_names_of_other_architectures_are_left_alone():
    names = ["vision_model.fc.weight", "fc.bias", "h.0.attn.bias"]
    assert canonical_names([*names, "position_ids"]) == dict(zip(names, names, strict=True))
    assert [stored_name(name, names) for name in names] == names
