"""What methods keep between models, as it is measured."""

import pytest

import cmmlib
from cmmlib.merging.keeping import Keeps, keeps


def test_a_task_vector_or_sums():
    assert keeps("opcm") == Keeps((), 1.0, 1.0)
    assert keeps("tsv_m").parts == ("p", "q", "r")
    # R is float32 as the weight, and Q (n × n) too: 1 + n/m
    assert keeps("dop_all") == Keeps(("q", "r"), 2.0, 5.0)


def test_a_hyper_parameter_without_a_default_cannot_be_tried():
    @cmmlib.method
    def needy(merged, task_vector, ctx, *, power: float):
        return task_vector

    with pytest.raises(ValueError, match="'power'"):
        keeps("needy")
