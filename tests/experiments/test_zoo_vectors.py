"""Task vectors of the mini suite, read one parameter at a time."""

import os

import pytest
import torch

from cmmlib.experiments import TaskVectors
from cmmlib.models import open_model
from cmmlib.suites import load_suite


def test_task_vectors_are_weights_minus_the_bases():
    suite = load_suite("mini")
    backbone, tasks = suite.backbones[0], suite.task_names(2)
    vectors = TaskVectors(suite, backbone, tasks)
    assert vectors.tasks == list(tasks) and set(vectors.linear) < set(vectors.shapes)
    key, found = next(vectors.linear_weights())
    base = open_model(suite.base(backbone)).read(key)
    assert key == vectors.linear[0] and list(found) == list(tasks)
    for task in tasks:
        model = open_model(suite.checkpoint(backbone, task))
        torch.testing.assert_close(found[task] + base, model.read(key))
        assert found[task].shape == vectors.shapes[key] and found[task].any()
        assert vectors.file_sizes[task] == sum(os.path.getsize(file) for file in model.files) > 0


def test_an_unknown_task_is_refused():
    suite = load_suite("mini")
    with pytest.raises(ValueError, match="nonsense"):
        TaskVectors(suite, suite.backbones[0], ["nonsense"])
