"""``cmm reproduce``: what is refused, what is run and what is printed."""

import pytest

from cmmlib.cli import main
from cmmlib.experiments import reproduce
from cmmlib.experiments.notebook_parameters import FIGURES, FULL, QUICK


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["reproduce", "--suite", "nosuch"], "known"),
        (["reproduce", "--jobs", "0"], "--jobs"),
        (["reproduce", "--orders", "11"], "--orders: expected 1 to 10, got 11"),
        (["reproduce", "--seeds", "opcm"], "--seeds opcm: expected whole numbers or one of dop, mingle"),
        (["reproduce", "--seeds", "40", "dop"], "--seeds 40 dop: expected whole numbers, or one name"),
        (["reproduce", "--tasks", "8", "21"], "--tasks 21: suite mini takes 2 to 20"),
        (["reproduce", "--methods", "OPMC"], "--methods: no row and unknown method 'OPMC'"),
        (["reproduce", "--methods", "nowhere.py:f"], "--methods: method '"),
        (["reproduce", "--backbone", "ViT-H/14"], "suite mini has ViT-mini"),
        (["reproduce", "--limit", "0"], "limit is 0"),
        (["reproduce", "--precision", "half"], "float32, bfloat16"),
        (["reproduce", "--models-dir", "."], "suite mini does not take models_dir"),
        (["reproduce", "--suite", "clip", "--data-dir", "nowhere"], "data_dir: no folder"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--quick"], {"mini-quick/ViT-mini-12": set(QUICK["mini"])}),
        ([], {"mini/ViT-mini-12": set(FULL["mini"])}),
        (["--all", "--backbone", "ViT-mini/12"], {"mini/ViT-mini-12": {*FULL["mini"], *FIGURES["mini"]}}),
    ],
)
def test_what_is_run_and_where_it_is_left(tmp_path, monkeypatch, capsys, arguments, expected):
    ran = {}

    def pretend(source, target, parameters):
        assert parameters["out"] == str(target.parent.parent)
        ran.setdefault(str(target.parent.parent.relative_to(tmp_path)), set()).add(target.stem)
        (target.parent.parent / "main_table.md").write_text("the table")

    monkeypatch.setattr(reproduce, "run_notebook", pretend)
    assert main(["reproduce", "--out", str(tmp_path), *arguments]) == 0
    assert ran == expected
    assert capsys.readouterr().out.count("the table") == len(expected)


def test_ray_is_asked_for_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["reproduce", "--ray"]) == 2
    assert "pip install 'cmmlib[ray]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given, passed", [([], None), (["--ray"], "local"), (["--ray", "auto", "--jobs", "3"], "auto")])
def test_jobs_and_ray_reach_the_notebooks(tmp_path, monkeypatch, capsys, given, passed):
    seen = []
    monkeypatch.setattr(reproduce, "run_notebook", lambda source, target, parameters: seen.append(parameters))
    assert main(["reproduce", "--quick", "--out", str(tmp_path), *given]) == 2
    assert "main_table.md" in capsys.readouterr().err  # no notebook has written a table
    assert seen[0]["ray"] == passed and seen[0]["jobs"] == (3 if "--jobs" in given else None)
