"""The asset file."""

from __future__ import annotations

import numpy as np

from cmmlib.suites.mini.masks import assets
from cmmlib.suites.mini.render import TEST_SIZE
from cmmlib.suites.mini.tasks import TASKS


def test_glyphs_cover_every_class():
    for task in TASKS:
        masks = assets().get(task.name)
        if task.kind == "glyph":
            assert masks.shape[0] == len(task.class_names) and masks.dtype == np.uint8
        elif task.kind == "scan":
            assert len(masks) == TEST_SIZE
