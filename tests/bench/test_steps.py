"""What the bench of one step compares does the same work to the same end."""

from __future__ import annotations

import json

import pytest
import torch

from cmmlib.bench import __main__ as bench
from cmmlib.bench.errors import one_of_each_shape, relative
from cmmlib.bench.floor_of_sums import FLOORS
from cmmlib.bench.profile import profile
from cmmlib.bench.random_towers import Towers, random_base
from cmmlib.bench.steps import ELEMENTWISE, bench_dop, bench_elementwise, bench_opcm, bench_sums
from cmmlib.bench.table import table


def test_our_opcm_is_nearer_to_float64_than_the_published_algorithm(towers: Towers):
    (row,) = bench_opcm(towers, repeats=1)
    assert row["error"] < 1e-6 and row["error"] < row["baseline_error"]
    assert row["speedup"] == row["baseline_seconds"] / row["seconds"]
    assert row["over_floor"] == row["seconds"] / row["floor_seconds"]


def test_our_adam_goes_the_published_way_and_the_exact_solver_ends_where_the_gradient_vanishes(towers: Towers):
    adam, exact, balanced = bench_dop(towers, repeats=1, steps=2, baseline_steps=3)
    assert [row["method"] for row in (adam, exact, balanced)] == ["DOP (Adam)", "DOP-exact", "DOP-balanced"]
    assert adam["trajectory"] < 1e-6 and exact["error"] < 1e-5
    assert adam["extrapolated"] == {"seconds", "floor_seconds", "baseline_seconds"}
    assert exact["extrapolated"] == {"baseline_seconds"}
    lines = table([adam, exact, balanced]).splitlines()
    assert lines[0].split()[0] == "method" and lines[2].count("*") == 3 and lines[3].count("*") == 1


def test_methods_without_a_baseline_have_a_time_of_their_own(towers: Towers):
    rows = bench_elementwise(towers, repeats=1)
    assert [row["method"] for row in rows] == list(ELEMENTWISE) and all(row["seconds"] > 0 for row in rows)


def test_methods_of_sums_are_timed_with_their_solve_against_the_floor(towers: Towers):
    rows = bench_sums(towers, repeats=1)
    assert [row["method"] for row in rows] == list(FLOORS)
    assert all(row["over_floor"] == row["seconds"] / row["floor_seconds"] for row in rows)


def test_the_profile_tells_kinds_of_operations_apart(towers: Towers):
    rows = bench_opcm(towers, repeats=1)
    text = profile(towers, rows, threads=2)
    assert rows[0]["profile"]["eigh float64"] > 0 and rows[0]["cpu_over_floor"] > 0
    assert "OPCM" in text and "eigh's alone" in text


def test_relative_distance_and_one_of_each_shape(towers: Towers):
    assert relative(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.5 / 29.25**0.5)
    assert [pair[0].shape for pair in one_of_each_shape(towers.pairs() * 2)] == [(8, 8), (16, 8)]


def test_the_command_prints_the_table_and_writes_the_numbers(towers: Towers, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "random_towers", lambda *_: towers)
    arguments = ["--only", "opcm", "--repeats", "1", "--layers", "1", "--profile", "--json", str(tmp_path / "x.json")]
    assert bench.main([*arguments, "--threads", str(torch.get_num_threads())]) == 0
    printed, written = capsys.readouterr().out, json.loads((tmp_path / "x.json").read_text())
    assert "ViT-B/32, 1 of 12 layers" in printed and "one thread" in printed
    assert written["rows"][0]["method"] == "OPCM" and written["layers"] == 1 and written["only"] == ["opcm"]


def test_transformer_layers_alone_have_no_embeddings():
    whole, layers = (random_base("ViT-B/32", 1, embeddings).keys() for embeddings in (True, False))
    assert {name for name in whole if name not in layers} == {name for name in whole if name.startswith("embeddings.")}
