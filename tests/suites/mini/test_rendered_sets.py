"""Test sets on disk."""

from __future__ import annotations

import numpy as np

from cmmlib.suites.mini.render import draw_test


def test_test_set_is_a_dataset_with_named_labels(suite):
    import datasets

    found = suite.test_set("greek")
    assert found.num_rows == 150 and found.features["label"].names[0] == "the greek letter alpha"
    assert isinstance(found.features["image"], datasets.Image)
    assert found[0]["image"].size == (36, 36) and found[0]["image"].mode == "RGB"
    assert np.array_equal(np.asarray(found[5]["image"]), draw_test("greek")[0][5])
    folder = suite.root / "data" / "greek" / "data"
    again = datasets.load_dataset(
        "parquet", data_files={"test": str(folder / "*.parquet")}, split="test", cache_dir=str(suite.root / "hf")
    )
    assert again.features == found.features
