"""OPCM's projection in tables, and shares pooled over rows."""

import pandas as pd
import pytest
import torch

from cmmlib.analysis import SHARES, geometry, opcm_projections, pooled_shares


def random(seed):
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rows_follow_each_order_through_each_layer():
    taus = {task: random(seed) for seed, task in enumerate("abc")}
    orders = {(3, 40): ["b", "a", "c"], (2, 41): ["a", "b"]}
    table = opcm_projections([("layers.2.q_proj.weight", taus)], orders, alpha=0.5)
    assert table[["num_tasks", "seed", "step", "task"]].values.tolist() == [
        [3, 40, 1, "b"],
        [3, 40, 2, "a"],
        [3, 40, 3, "c"],
        [2, 41, 1, "a"],
        [2, 41, 2, "b"],
    ]
    assert set(table["kind"]) == {"q"} and set(table["depth"]) == {2} and set(table["alpha"]) == {0.5}
    expected = geometry.projections([taus[task] for task in "bac"], alpha=0.5)
    assert [tuple(row) for row in table.loc[:2, list(geometry.Projection._fields)].values] == [tuple(e) for e in expected]


def test_pooled_shares_are_weighted_by_squared_norms():
    rows = pd.DataFrame({"step": [1, 1, 2], "norm": [1.0, 3.0, 5.0], **dict.fromkeys(SHARES, 0.0)})
    rows["removed_block"] = [0.5, 0.1, 0.2]
    pooled = pooled_shares(rows, "step")
    assert list(pooled) == SHARES
    assert pooled["removed_block"].to_dict() == pytest.approx({1: (0.5 + 9 * 0.1) / 10, 2: 0.2})
