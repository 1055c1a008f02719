"""How methods see a stored parameter, and back."""

from __future__ import annotations

import pytest
import torch

from cmmlib.models.layers import Layer

CASES = [
    (Layer("linear"), (4, 6), [(4, 6)]),
    (Layer("linear", transposed=True), (4, 6), [(6, 4)]),
    (Layer("linear", rows=(3, 1)), (4, 6), [(3, 6), (1, 6)]),
    (Layer("linear", transposed=True, rows=(2, 4)), (4, 6), [(2, 4), (4, 4)]),
    (Layer("linear", stacked=1), (2, 4, 6), 2 * [(4, 6)]),
    (Layer("linear", transposed=True, stacked=1, rows=(3, 3)), (2, 4, 6), 4 * [(3, 4)]),
    (Layer("linear", stacked=2), (2, 3, 4, 6), 6 * [(4, 6)]),
    (Layer("other"), (5,), [(5,)]),
    (Layer("other"), (), [()]),
]


@pytest.mark.parametrize(("layer", "shape", "shapes"), CASES)
def test_views_have_the_shapes_that_are_told_and_join_to_the_tensor(layer: Layer, shape: tuple, shapes: list):
    tensor = torch.randn(shape)
    views = layer.views(tensor)
    assert layer.shapes(shape) == shapes == [tuple(view.shape) for view in views]
    assert torch.equal(layer.joined(views, shape), tensor)
    assert layer.divided == (len(shapes) > 1)


def test_rows_of_transposed_stacks_are_columns_of_the_stored_matrices():
    tensor = torch.arange(24.0).reshape(2, 3, 4)
    views = Layer("linear", transposed=True, stacked=1, rows=(1, 3)).views(tensor)
    assert torch.equal(views[2], tensor[1, :, :1].T) and torch.equal(views[3], tensor[1, :, 1:].T)
