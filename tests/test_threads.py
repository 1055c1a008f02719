"""Layers side by side: the same results with any number of threads, in order, and the caller's threads left alone."""

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import ContinualMerger
from cmmlib.threads import side_by_side


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("at_most", [None, 1, 2])
def test_results_come_in_order_each_from_a_single_thread(at_most):
    seen = list(side_by_side(lambda n: (n, torch.get_num_threads()), range(7), at_most=at_most))
    assert seen == [(n, 1) for n in range(7)]


@pytest.mark.parametrize("at_most", [None, 1])
def test_the_caller_keeps_its_threads_between_results_and_after_a_failure(at_most):
    for _ in side_by_side(abs, [1, -2, 3], at_most=at_most):
        assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda n: 1 / n, [1, 0, 2], at_most=at_most))
    assert torch.get_num_threads() == 2


def test_no_more_than_asked_for_is_in_flight():
    drawn = []
    results = side_by_side(abs, (drawn.append(n) or n for n in range(9)), at_most=1)
    next(results)
    assert drawn == [0]


@pytest.mark.parametrize("method, params", [("opcm", {}), ("dop", {"solver": "exact"})])
def test_a_merge_in_a_folder_has_the_bits_of_one_in_memory_on_two_threads(tmp_path, method, params):
    generator = torch.Generator().manual_seed(0)

    def model():
        return {name: torch.randn(300, 500, generator=generator) for name in "abc"}

    base = model()
    save_file(base, tmp_path / "base.safetensors")
    models = [
        {name: tensor + 0.05 * new for (name, tensor), new in zip(base.items(), model().values(), strict=True)}
        for _ in "123"
    ]
    memory = ContinualMerger(tmp_path / "base.safetensors", method, linear=["*"], **params).add(models[0])
    memory.save(tmp_path / "state")
    folder = ContinualMerger.load(tmp_path / "state")
    for later in models[1:]:
        memory.add(later)
        folder.add(later)
    for name, tensor in memory.merged().items():
        assert torch.equal(tensor, folder.merged()[name])


def test_side_by_side_is_map_whatever_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert list(side_by_side(lambda x: x * x, iter(range(20)))) == [x * x for x in range(20)]
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_an_error_in_one_layer_arrives():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            list(side_by_side(lambda x: 1 / x, [1, 2, 0, 3]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
