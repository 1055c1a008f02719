"""``cmm report``: one self-contained page of a finished run, and none of an unfinished one."""

import base64
import json
import re

import nbformat
import pytest

from cmmlib.cli import main
from cmmlib.experiments.report import write_report
from cmmlib.experiments.reproduce import run_notebook

TABLE = """\
| method         | 8 tasks ACC   | 8 tasks BWT   | 8 tasks orders   |
|----------------|---------------|---------------|------------------|
| Pretrained     | 51.0          |               |                  |
| Weight average | 61.5 ± 0.0    | -12.7 ± 1.3   | 3                |
| Mine <b>       | 90.1 [89, 91] | -1.0          | 2                |
| Joint training | 93.4          |               |                  |
| Individual     | 95.2          |               |                  |
"""
RUNS = "label,num_tasks,seed,acc\n" + "".join(
    f"Weight average,8,{seed},61\nMine <b>,8,{seed - 1},90\n" for seed in (40, 41, 42)
)
PNG = {"main_table": b"\x89PNG one", "accuracy_kept": b"\x89PNG two", "accuracy_curves": b"\x89PNG three"}


def executed(path, status="completed", day=21):
    cell = nbformat.v4.new_code_cell("check", outputs=[nbformat.v4.new_output("stream", text="3 of 3 runs compared\n")])
    cell.metadata["papermill"] = {"status": status, "exception": status == "failed"}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])
    start, end = f"2026-05-{day}T10:00:00.5+00:00", f"2026-05-{day}T11:30:00.5+00:00"
    papermill = {"parameters": {"suite": "mini", "rows": {"Mine <b>": ["mine", {}]}}, "version": "2.7.0"}
    notebook.metadata = {
        "papermill": {**papermill, "start_time": start, "end_time": end},
        "language_info": {"name": "python", "version": "3.12.1"},
    }
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def run(tmp_path):
    executed(tmp_path / "notebooks/02_main_table.ipynb")
    executed(tmp_path / "notebooks/03_accuracy_curves.ipynb", day=20)
    (tmp_path / "main_table.md").write_text(TABLE)
    (tmp_path / "runs.csv").write_text(RUNS)
    for name, data in PNG.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    return tmp_path


def test_the_page_holds_the_table_the_figures_and_what_was_run(run):
    page = write_report(run).read_text()
    for data in PNG.values():
        assert base64.b64encode(data).decode() in page
    for text in (
        "61.5 ± 0.0",
        "−12.7 ± 1.3",
        "<b>90.1 [89, 91]</b>",
        "Mine &lt;b&gt;",
        "3 of 3 runs compared",
        "Python 3.12.1",
    ):
        assert text in page, text
    for text in (
        "2026-05-20 10:00 to 2026-05-21 11:30 UTC",
        "seeds 39–42",
        "Weight average 40–42",
        "ViT-mini/12",
        "1803.05407",
    ):
        assert text in page, text
    assert "<b>95.2" not in page and "<b>93.4" not in page  # a bound and a reference, no merged models
    assert "Joint training see training data" in page


def test_rows_that_are_not_as_published_are_explained(run):
    assert "cmmlib's own" not in write_report(run).read_text().replace("&#39;", "'")
    more = "".join(f"| {label} | 80.0 | | 3 |\n" for label in ("DOP-exact (α=0.8)", "WUDI", "Kronecker"))
    (run / "main_table.md").write_text(TABLE + more)
    page = write_report(run).read_text()
    assert "cmmlib's own: DOP-exact (α=0.8), Kronecker." in page and "WUDI is its paper's objective" in page


def test_the_page_needs_no_other_file_and_no_script(run):
    page = write_report(run).read_text()
    assert set(re.findall(r'src="(.{5})', page)) == {"data:"}
    assert not re.search(r"<script|<link|@import|url\(", page)
    assert [path.name for path in run.iterdir() if path.suffix == ".html"] == ["report.html"]


def test_the_models_and_data_that_were_used_are_listed_where_the_run_recorded_them(run):
    assert "Models and data" not in write_report(run).read_text()
    (run / "sources.csv").write_text("kind,id,place,revision\nmodel,someone/sun397,hub,0123abc\n")
    assert "<td>someone/sun397</td>" in write_report(run).read_text()


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
def test_an_unfinished_run_is_refused_and_an_earlier_page_stays(run, status):
    before = write_report(run).read_bytes()
    executed(run / "notebooks/03_accuracy_curves.ipynb", status)
    with pytest.raises(ValueError, match=r"03_accuracy_curves\.ipynb was not finished; run the same `cmm reproduce` again"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize("name", ["main_table.md", "main_table.png", "accuracy_kept.png", "accuracy_curves.png", "runs.csv"])
def test_a_missing_file_is_named_and_nothing_is_written(run, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(name)):
        write_report(run)
    assert not (run / "report.html").exists()


def test_the_command_prints_the_page_and_refuses_a_folder_without_a_run(run, capsys):
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert main(["report", str(run / "notebooks")]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_what_papermill_leaves_is_told_finished_from_failed(run):
    target = run / "notebooks/02_main_table.ipynb"

    def execute(source):
        cell = nbformat.v4.new_code_cell("suite = 'mini'", metadata={"tags": ["parameters"]})
        notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(source)])
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(notebook, run / "source.ipynb")
        run_notebook(run / "source.ipynb", target, {"suite": "mini"})

    execute("print('all within tolerance')")
    assert "all within tolerance" in write_report(run).read_text()
    with pytest.raises(ValueError, match="failed in cell"):
        execute("raise RuntimeError")
    with pytest.raises(ValueError, match="was not finished"):
        write_report(run)
    target.write_text(json.dumps({})[:1])  # killed while it was written
    with pytest.raises(ValueError, match=r"02_main_table\.ipynb is not a notebook"):
        write_report(run)
