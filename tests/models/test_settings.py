"""Configurations are compared where they decide what a model computes."""

from __future__ import annotations

from cmmlib.models.settings import differing_classes, differing_settings

BASE = {"model_type": "llama", "num_attention_heads": 4, "rope_parameters": {"rope_theta": 1e4}, "hidden_act": "silu"}


def test_what_changes_the_computation_is_named_with_both_values():
    model = {**BASE, "num_attention_heads": 8, "rope_parameters": {"rope_theta": 5e5}}
    assert differing_settings(BASE, model) == [
        "num_attention_heads 8 (base: 4)",
        "rope_parameters.rope_theta 500000.0 (base: 10000.0)",
    ]


def test_what_does_not_is_not():
    ours = {**BASE, "dtype": "float32", "architectures": ["A"], "hidden_dropout_prob": 0.1, "transformers_version": "4"}
    theirs = {**BASE, "dtype": "bfloat16", "architectures": ["B"], "hidden_dropout_prob": 0.0, "use_cache": False}
    assert differing_settings(ours, theirs) == differing_settings(ours, None) == differing_settings(None, theirs) == []


def test_a_tower_is_compared_with_the_whole_models_vision_part():
    whole = {"model_type": "clip", "projection_dim": 8, "vision_config": {"hidden_act": "quick_gelu", "projection_dim": 512}}
    assert differing_settings(whole, {"model_type": "clip_vision_model", **whole["vision_config"]}) == []
    assert differing_settings(whole, {"hidden_act": "gelu"}) == ["hidden_act 'gelu' (base: 'quick_gelu')"]


def test_classes_in_another_order_are_said():
    base = {"id2label": {"0": "a", "1": "b"}}
    assert "its class 0 is 'b', the base's 'a'" in differing_classes(base, {"id2label": {0: "b", 1: "a"}})
    for same in ({"id2label": {0: "a", 1: "b"}}, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, {}, None):
        assert differing_classes(base, same) == ""
