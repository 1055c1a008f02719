"""A suite on fewer images, or in another precision."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from cmmlib.suites import Variant, load_suite, not_the_protocol


def test_a_limit_takes_evenly_spaced_rows_and_is_part_of_every_key(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = load_suite("clip", data_dir=clip_folder / "datasets")
    few = pickle.loads(pickle.dumps(load_suite("clip", limit=7, data_dir=clip_folder / "datasets")))
    labels = whole.test_set("svhn")["label"][:]
    groups = [i * 27 // 7 * 1000 for i in range(7)]  # 26,032 rows lie in 27 row groups, of which 7 evenly spaced are read
    kept = [sorted([*range(g, min(g + 1000, 26032))]) for g in groups]
    some = [row for group in kept for row in group]
    assert few.test_set("svhn")["label"][:] == [labels[some[i * len(some) // 7]] for i in range(7)]
    assert (few.limit, whole.limit) == (7, None)
    assert few.content_hash("ViT-B/32") != whole.content_hash("ViT-B/32")
    assert few.test_set_key("svhn") != whole.test_set_key("svhn")
    assert Variant(whole, 99_999).test_set("svhn")["label"][:] == labels
    assert few.sources("ViT-B/32", ["svhn"]) == whole.sources("ViT-B/32", ["svhn"]) != []


def test_an_unknown_precision_is_an_error_with_the_choices():
    with pytest.raises(ValueError, match="precision is 'half'; choices: float32, bfloat16"):
        Variant(load_suite("mini"), precision="half")


def test_what_is_left_out_is_said_in_a_line_and_nothing_where_nothing_is():
    assert not_the_protocol(load_suite("mini")) == ""
    said = not_the_protocol(load_suite("mini", limit=5))
    assert said == "Not the protocol: the tasks on at most 5 inputs each. For looking only."
