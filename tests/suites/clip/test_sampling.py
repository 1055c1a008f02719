"""Which rows a limit leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cmmlib.suites.clip.contents import Group, SplitFile
from cmmlib.suites.clip.sampling import BUDGET, Chosen, chosen_rows, described

FILE = SplitFile("test.parquet", lambda: None)


def groups(*rows: int, size: int = 1000) -> list[Group]:
    """Row groups of so many rows each."""
    return [Group(FILE, number, count, size) for number, count in enumerate(rows)]


def kept(chosen: Chosen) -> dict[int, list[int] | None]:
    return {group.number: rows for group, rows in chosen}


def test_no_limit_and_a_large_one_take_everything():
    assert kept(chosen_rows(groups(3, 0, 2), None)) == kept(chosen_rows(groups(3, 0, 2), 5)) == {0: None, 2: None}


def test_small_groups_are_all_there_is_to_spread_rows_over():
    assert kept(chosen_rows(groups(4, 4), 4)) == {0: [0, 2], 1: [0, 2]}
    assert kept(chosen_rows(groups(*[100] * 10), 5)) == {number: [0] for number in (0, 2, 4, 6, 8)}


def test_large_groups_are_as_few_as_the_budget_says():
    assert kept(chosen_rows(groups(*[100] * 10, size=BUDGET // 2), 8)) == {0: [0, 25, 50, 75], 5: [0, 25, 50, 75]}


def test_a_group_above_the_budget_is_taken_where_there_is_no_other_way():
    assert kept(chosen_rows(groups(100, 100, size=10 * BUDGET), 4)) == {0: [0, 25, 50, 75]}
    many = chosen_rows(groups(*[100] * 10, size=10 * BUDGET), 250)
    assert [group.number for group, _ in many] == [0, 3, 6]  # 250 rows need three groups of 100


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.integers(1, 200), st.integers(1, BUDGET))
def test_as_many_rows_as_the_limit_and_within_the_budget_or_no_more_groups_than_needed(rows, limit, size):
    given = groups(*rows, size=size)
    chosen = chosen_rows(given, limit)
    found = [(group.number, row) for group, inside in chosen for row in (range(group.rows) if inside is None else inside)]
    assert len(found) == len(set(found)) == min(limit, sum(rows)) and found == sorted(found)
    assert all(0 <= row < rows[number] for number, row in found)
    if sum(rows) > limit and len({count for count in rows if count}) == 1:  # of equal groups
        needed = -(-limit // max(rows))
        assert len(chosen) <= max(needed, BUDGET // size)


def test_the_rows_are_told_as_numbers_in_the_split():
    whole = groups(100, 100, 100, size=2_000_000)
    assert described("dtd", whole, chosen_rows(whole, 3)) == (
        "dtd: 3 of 300 images, rows 0 100 200, in 3 of 3 row groups (6.0 MB)"
    )
    assert "rows 0 33 66 … 266, in 3" in described("dtd", whole, chosen_rows(whole, 9))
    assert "rows 0 1 2 … 299, in 3" in described("dtd", whole, chosen_rows(whole, None))
