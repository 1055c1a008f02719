"""``cmm`` as a user types it, and the notebook runner behind it."""

import nbformat
import pytest

from cmmlib.cli import main as cli


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_parameters_reach_the_notebook(tmp_path):
    source = notebook(tmp_path / "n.ipynb", "numbers = [1]\nwho = 'a'", "print(sum(numbers), who)")
    cli.run_notebook(source, tmp_path / "out.ipynb", {"numbers": [40, 2], "who": "b"})
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs[0].text == "42 b\n"
    assert nbformat.read(source, 4).cells[-1].outputs == []


def test_a_misspelt_parameter_is_an_error_before_anything_runs(tmp_path):
    source = notebook(tmp_path / "n.ipynb", "seeds = [1]")
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'seed'; it takes seeds"):
        cli.run_notebook(source, tmp_path / "out.ipynb", {"seed": [40]})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_cell_is_reported_with_the_place_to_look(tmp_path):
    source = notebook(tmp_path / "n.ipynb", "x = 1", "raise RuntimeError('no luck')")
    with pytest.raises(ValueError, match=r"(?s)failed in cell 2: RuntimeError: no luck.*out\.ipynb"):
        cli.run_notebook(source, tmp_path / "out.ipynb", {})


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["reproduce", "--suite", "nosuch"], "known"),
        (["reproduce", "--jobs", "0"], "--jobs"),
        (["reproduce", "--orders", "11"], "--orders: expected 1 to 10"),
        (["reproduce", "--backbone", "ViT-H/14"], "suite mini has ViT-mini"),
        (["reproduce", "--limit", "0"], "limit is 0"),
        (["reproduce", "--precision", "half"], "float32, bfloat16"),
        (["reproduce", "--models-dir", "."], "suite mini does not take models_dir"),
        (["reproduce", "--suite", "clip", "--data-dir", "nowhere"], "data_dir: no folder"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


SETTINGS = {**cli.REPRODUCE, "quick": cli.QUICK, "figures": cli.FIGURES}


@pytest.mark.parametrize("setting", SETTINGS)
def test_injected_parameters_exist_in_the_notebooks(setting):
    from cmmlib.paths import notebooks_dir

    for name, parameters in SETTINGS[setting].items():
        known = cli.parameters_of(notebooks_dir() / f"{name}.ipynb")
        assert {*parameters, "suite", "suite_options", "backbone", "out"} <= set(known)
        assert setting == "figures" or {"jobs", "ray", "device", "check"} <= set(known)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--quick"], {"mini-quick/ViT-mini-12": set(cli.QUICK)}),
        ([], {"mini/ViT-mini-12": set(cli.REPRODUCE["mini"])}),
        (["--all", "--backbone", "ViT-mini/12"], {"mini/ViT-mini-12": {*cli.REPRODUCE["mini"], *cli.FIGURES}}),
    ],
)
def test_what_is_run_and_where_it_is_left(tmp_path, monkeypatch, capsys, arguments, expected):
    ran = {}

    def pretend(source, target, parameters):
        assert parameters["out"] == str(target.parent.parent)
        ran.setdefault(str(target.parent.parent.relative_to(tmp_path)), set()).add(target.stem)
        (target.parent.parent / "main_table.md").write_text("the table")

    monkeypatch.setattr(cli, "run_notebook", pretend)
    assert cli.main(["reproduce", "--out", str(tmp_path), *arguments]) == 0
    assert ran == expected
    assert capsys.readouterr().out.count("the table") == len(expected)


def test_ray_is_asked_for_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["reproduce", "--ray"]) == 2
    assert "pip install 'cmmlib[ray]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given, passed", [([], None), (["--ray"], "local"), (["--ray", "auto", "--jobs", "3"], "auto")])
def test_jobs_and_ray_reach_the_notebooks(tmp_path, monkeypatch, given, passed):
    seen = []
    monkeypatch.setattr(cli, "run_notebook", lambda source, target, parameters: seen.append(parameters))
    with pytest.raises(FileNotFoundError):  # no notebook has written a table
        cli._reproduce(cli._parser().parse_args(["reproduce", "--quick", "--out", str(tmp_path), *given]))
    assert seen[0]["ray"] == passed and seen[0]["jobs"] == (3 if "--jobs" in given else None)


@pytest.mark.parametrize(
    "command, options",
    [("reproduce", ["--jobs N", "--ray [ADDRESS]"]), ("add", ["--actors N", "--ray ADDRESS"]), ("merge", ["--actors N"])],
)
def test_help_names_what_runs_on_ray(capsys, command, options):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert all(option in said for option in options)
