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
