"""Rendering: the same pixels everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from cmmlib.suites.mini.render import draw, draw_test
from cmmlib.suites.mini.tasks import TASKS
from cmmlib.suites.zoos.checksums import pixels_hash


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_rendering_matches_the_committed_checksum(suite, task):
    images, labels = draw_test(task.name)
    assert images.shape == (150, 36, 36, 3) and images.dtype == np.uint8
    assert set(labels) == set(range(len(task.class_names)))
    assert pixels_hash(images, labels) == suite.checksums["test_sets"][task.name]


def test_an_image_depends_on_task_split_and_index_only():
    task = TASKS[0]
    late, early = draw(task, "test", 7), draw(task, "test", 3)
    assert np.array_equal(early, draw(task, "test", 3))
    assert np.array_equal(late, draw(task, "test", 7))
    assert not np.array_equal(early, draw(task, "train", 3))
