"""Parameter names: one spelling inside, the hub's on disk; only a plain CLIP model is taken apart."""

from __future__ import annotations

from cmmlib.models.names import canonical_names, stored_name


def test_a_towers_names_lose_their_prefix_and_get_it_back_on_disk():
    bare = ["embeddings.class_embedding", "pre_layrnorm.weight"]
    prefixed = ["vision_model." + name for name in bare]
    whole = [*prefixed, "text_model.encoder.layers.0.mlp.fc1.weight", "logit_scale"]
    assert canonical_names(bare) == dict(zip(bare, bare, strict=True))
    assert canonical_names(prefixed) == canonical_names(whole) == dict(zip(bare, prefixed, strict=True))
    assert [stored_name(name, canonical_names(given)) for given in (bare, whole) for name in bare] == 2 * prefixed


def test_names_of_other_architectures_are_left_alone():
    names = ["vision_model.fc.weight", "fc.bias", "h.0.attn.bias"]
    assert canonical_names(names) == dict(zip(names, names, strict=True))
    assert [stored_name(name, names) for name in names] == names


def test_models_with_a_clip_tower_that_are_no_plain_clip_stay_whole():
    tower = ["vision_model.pre_layrnorm.weight", "vision_model.embeddings.class_embedding"]
    clip_text, bert_text = "text_model.encoder.layers.0.mlp.fc1.weight", "text_model.encoder.layer.0.output.dense.weight"
    for beside in ("visual_projection.weight", "classifier.weight", bert_text):
        names = [*tower, beside]
        assert canonical_names(names) == dict(zip(names, names, strict=True))
        assert [stored_name(name, canonical_names(names)) for name in names] == names
    whole = [*tower, clip_text]  # MetaCLIP 2 has CLIP's names: its configuration tells
    assert canonical_names(whole, {"model_type": "metaclip_2"}).keys() == set(whole)
    assert canonical_names(whole, {"model_type": "clip"}).keys() == {name.removeprefix("vision_model.") for name in tower}
