"""Running a notebook, and the parameters that reach it."""

import json
import sys

import nbformat
import pytest

from cmmlib.experiments import reproduce as module
from cmmlib.experiments.reproduce import reproduce, run_notebook


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_parameters_reach_the_notebook(tmp_path, capfd):
    source = notebook(tmp_path / "n.ipynb", "numbers = [1]\nwho = 'a'", "print(sum(numbers), who)")
    run_notebook(source, tmp_path / "out.ipynb", {"numbers": [40, 2], "who": "b"})
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs[0].text == "42 b\n"
    assert nbformat.read(source, 4).cells[-1].outputs == []
    assert "encryption" not in capfd.readouterr().err  # ipykernel's warning of sockets that anybody can listen to


def test_a_notebook_runs_in_this_interpreter_whatever_kernels_braces_and_homes_there_are(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    other = {"argv": ["/usr/bin/false", "-f", "{connection_file}"], "display_name": "site", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(other))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("HOME", "/dev/null/home")
    folder = tmp_path / "run {lr=1} {x}"
    folder.mkdir()
    source = notebook(folder / "n.ipynb", "x = 1", "import sys\nprint(sys.executable, x)")
    run_notebook(source, folder / "out.ipynb", {"x": 2})
    printed = nbformat.read(folder / "out.ipynb", 4).cells[-1].outputs[-1].text
    assert printed == f"{sys.executable} 2\n"
    assert sorted(path.name for path in folder.iterdir()) == ["n.ipynb", "out.ipynb"]


def test_a_misspelt_parameter_is_an_error_before_anything_runs(tmp_path):
    source = notebook(tmp_path / "n.ipynb", "seeds = [1]")
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'seed'; it takes seeds"):
        run_notebook(source, tmp_path / "out.ipynb", {"seed": [40]})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_cell_is_reported_with_the_place_to_look(tmp_path):
    source = notebook(tmp_path / "n.ipynb", "x = 1", "raise RuntimeError('no luck')")
    with pytest.raises(ValueError, match=r"(?s)failed in cell 2: RuntimeError: no luck.*out\.ipynb"):
        run_notebook(source, tmp_path / "out.ipynb", {})


def test_every_backbone_has_a_folder_and_a_table_of_its_own_and_the_notebooks_what_was_asked_for(tmp_path, monkeypatch):
    seen = []

    def pretend(source, target, parameters):
        seen.append(parameters)
        (target.parent.parent / "main_table.md").write_text(f"table of {parameters['backbone']}")

    monkeypatch.setattr(module, "run_notebook", pretend)
    done = reproduce(
        quick=True, backbones=["ViT-mini/9", "ViT-mini/12"], orders=1, out=tmp_path, check=False, suite_options={"limit": 5}
    )
    assert [(run.suite, run.backbone, run.table) for run in done] == [
        ("mini", "ViT-mini/9", "table of ViT-mini/9"),
        ("mini", "ViT-mini/12", "table of ViT-mini/12"),
    ]
    assert all((run.folder / "main_table.md").read_text() == run.table for run in done)
    assert [run.folder for run in done] == [tmp_path / "mini-quick" / name for name in ("ViT-mini-9", "ViT-mini-12")]
    assert all(parameters["seeds"] == [40] and parameters["suite_options"] == {"limit": 5} for parameters in seen)
    assert not any(parameters["check"] or parameters["every_row"] for parameters in seen)


def test_all_rows_come_with_everything_and_another_papers_orders_by_its_name(tmp_path, monkeypatch):
    seen = {}

    def pretend(source, target, parameters):
        seen.setdefault(source.stem, []).append(parameters)
        (target.parent.parent / "main_table.md").write_text("the table")

    monkeypatch.setattr(module, "run_notebook", pretend)
    reproduce(everything=True, seeds="mingle", out=tmp_path)
    assert [parameters["every_row"] for parameters in seen["02_main_table"]] == [True] * 3
    assert all(parameters["seeds"] == list(range(42, 52)) for parameters in seen["02_main_table"])
    assert "every_row" not in seen["03_accuracy_curves"][0] and len(seen["07_sweeps"]) == 1
