"""Where a notebook leaves its results: below the clone, whatever folder it is run from, and by whatever."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
WITH_RESULTS = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if '"out = None' in path.read_text()]
FIGURE = "sequence_weight_average_2_40.png"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of what a clone holds, with a quick setting in the notebook."""
    clone = tmp_path_factory.mktemp("outside") / "clone"
    for part in ("cmmlib", "figures/reference"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", clone / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    path = clone / "notebooks" / "01_merge_sequence.ipynb"
    notebook = nbformat.read(path, 4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    quick = 'method = "weight_average"\nnum_tasks = 2\nsuite_options = {"limit": 5}\ncheck = False'
    cell.source += f"\n{quick}"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(notebook, path)
    return clone


def python_m(module):
    return [sys.executable, "-m", module]


EXECUTE = [*python_m("jupyter"), "nbconvert", "--to", "notebook", "--execute", "--output-dir"]
WAYS = {  # the folder that a command is run in, and the command
    "papermill from the clone": ("clone", [*python_m("papermill"), "notebooks/{notebook}", "{scratch}/out.ipynb"]),
    "papermill with --cwd": (
        "clone",
        [*python_m("papermill"), "--cwd", "notebooks", "notebooks/{notebook}", "{scratch}/out.ipynb"],
    ),
    "papermill from anywhere": ("scratch", [*python_m("papermill"), "{clone}/notebooks/{notebook}", "out.ipynb"]),
    # JupyterLab starts kernels in the notebook's folder, as nbconvert does
    "as in JupyterLab": ("clone", [*EXECUTE, "{scratch}", "notebooks/{notebook}"]),
    "nbval": ("clone", [*python_m("pytest"), "--nbval-lax", "--nbval-current-env", "-q", "notebooks/{notebook}"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_results_go_below_the_clone(way, clone, tmp_path):
    shutil.rmtree(clone / "figures" / "mini-quick", ignore_errors=True)
    folder, command = WAYS[way]
    places = {"clone": str(clone), "scratch": str(tmp_path), "notebook": "01_merge_sequence.ipynb"}
    environment = os.environ | {"PYTHONPATH": str(clone), "CMMLIB_CACHE": str(clone / ".cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [part.format(**places) for part in command],
        cwd=places[folder],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert (clone / "figures" / "mini-quick" / FIGURE).exists()
    assert [path.name for path in clone.parent.iterdir()] == ["clone"]
    assert {path.suffix for path in tmp_path.iterdir()} <= {".ipynb"}


def test_a_folder_that_is_given_is_relative_to_where_the_kernel_runs(clone, tmp_path):
    shutil.rmtree(clone / "figures" / "mini-quick", ignore_errors=True)
    environment = os.environ | {"PYTHONPATH": str(clone), "CMMLIB_CACHE": str(clone / ".cache"), "OMP_NUM_THREADS": "1"}
    command = [
        *python_m("papermill"),
        str(clone / "notebooks" / "01_merge_sequence.ipynb"),
        "out.ipynb",
        "-p",
        "out",
        "here",
    ]
    quick = ["-y", json.dumps({"method": "weight_average", "num_tasks": 2, "suite_options": {"limit": 5}, "check": False})]
    subprocess.run([*command, *quick], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "here" / FIGURE).exists() and not (clone / "figures" / "mini-quick").exists()


@pytest.mark.parametrize("path", WITH_RESULTS, ids=lambda path: path.stem)
def test_every_notebook_asks_for_that_folder(path):
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert "Path(out or figures_dir(" in cells[1]
    assert not any("../figures" in source for source in cells)
