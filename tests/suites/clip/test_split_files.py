"""Which files hold a split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmmlib.suites.clip.split_files import split_files

from .asking import TASK


@pytest.mark.parametrize(
    ("names", "card", "changes", "chosen"),
    [
        (["data/test-00000-of-00001-ab12.parquet", "data/train-0.parquet", "data/latest.parquet"], {}, {}, [0]),
        (["a/test-0.parquet", "b/test-0.parquet"], {}, {"config": "b"}, [1]),
        (["x/0.parquet", "y/0.parquet"], {"configs": [{"data_files": {"train": "x/*", "test": "y/*"}}]}, {}, [1]),
        (
            ["data/test-0.parquet", "data/deep/test-0.parquet"],
            {"configs": [{"data_files": {"test": "data/test*"}}]},
            {},
            [0],
        ),
        (
            ["a/test-0.parquet", "b/test-0.parquet"],
            {
                "configs": [
                    {"config_name": "a", "data_files": [{"split": "test", "path": "a/*"}]},
                    {"config_name": "b", "default": True, "data_files": [{"split": "test", "path": ["b/*"]}]},
                ]
            },
            {},
            [1],
        ),
    ],
)
def test_files_of_a_split_are_found_by_card_or_by_name(names: list, card: dict, changes: dict, chosen: list[int]):
    assert split_files(names, card, replace(TASK["dtd"], **changes)) == [names[i] for i in chosen]


def test_a_split_in_two_folders_is_refused():
    with pytest.raises(ValueError, match="spread over folders"):
        split_files(["a/test-0.parquet", "b/test-0.parquet"], {}, TASK["dtd"])


def shards(count: int, missing: set[int], name: str = "data/test-{:05}-of-{:05}.parquet") -> list[str]:
    return [name.format(i, count) for i in range(count) if i not in missing]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({17}, r"split 'test' has 17 of its 18 files; data/test-00017-of-00018\.parquet is missing"),
        ({0, 5, 6}, r"has 15 of its 18 files; data/test-00000-of-00018\.parquet and 2 more are missing.*fetch them too"),
    ],
)
@pytest.mark.parametrize("card", [{}, {"configs": [{"data_files": {"test": "data/test-*"}}]}])
def test_files_that_are_missing_are_named_with_both_numbers(missing: set[int], message: str, card: dict):
    with pytest.raises(ValueError, match=message):
        split_files(shards(18, missing), card, TASK["dtd"])
    assert len(split_files(shards(18, set()), card, TASK["dtd"])) == 18


def test_a_part_of_a_split_is_not_the_split():
    whole = ["default/test/0000.parquet"]
    assert split_files([*whole, "default/partial-test/0000.parquet"], {}, TASK["dtd"]) == whole
    with pytest.raises(
        ValueError, match=r"for split 'test' \(partial-test holds only a part of it\); it has these splits: none"
    ):
        split_files(["default/partial-test/0000.parquet"], {}, TASK["dtd"])
