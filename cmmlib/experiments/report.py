"""One HTML file of a finished ``cmm reproduce`` run, with everything in it, to send to a colleague."""

from __future__ import annotations

import base64
import csv
import json
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..files import write_flushed

Notebook = dict[str, Any]

NEEDED = ("main_table.md", "main_table.png", "runs.csv")

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 64rem; background: #fff; color: #1d1f23;
       font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p, dl { max-width: 46rem; margin: .5rem 0; }
a { color: #0b5cad; overflow-wrap: anywhere; }
.lead, figcaption, footer { color: #5b616b; }
figcaption, footer { font-size: .88rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.4rem; }
dt { color: #5b616b; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .28rem .6rem; text-align: right; }
th { font-weight: 600; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
thead tr:first-child th[colspan] { text-align: center; border-bottom: 1px solid #c9ced6; }
thead tr:last-child th { border-bottom: 1.5px solid #1d1f23; }
tbody tr:last-child td { border-bottom: 1.5px solid #1d1f23; }
tbody tr:nth-child(even) { background: #f6f7f9; }
figure { margin: 1rem 0; }
img { width: 100%; min-width: 40rem; height: auto; }
footer { margin-top: 3rem; border-top: 1px solid #e1e4e8; padding-top: .8rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
"""


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a finished run, whole or not at all, and give its path.

    Raises:
        FileNotFoundError: there is no run, or a file of it is missing.
        ValueError: the run has not been finished.
    """
    folder = Path(folder)
    target = folder / "report.html"
    write_flushed(target, report(folder))
    return target


def report(folder: Path) -> str:
    """The page; raises as `write_report` does."""
    notebooks = _finished_notebooks(folder)
    parameters = notebooks["02_main_table"]["metadata"]["papermill"]["parameters"]
    suite = str(parameters.get("suite", "mini"))  # as in the notebook itself
    with open(folder / "runs.csv", newline="", encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    header, *rows = _read_markdown_table(folder / "main_table.md")
    title = f"Continual model merging on the {suite} suite"
    explanation = (
        "Accuracy of the final model, mean over tasks (ACC), and how merging the later models changed that on the earlier "
        "tasks (BWT), in per cent and points; mean and spread over shuffled orders, the same ones for all methods. The best "
        "ACC of a merged model is bold."
    )
    if any(row[0] == "Joint training" for row in rows):
        explanation += " C. Fine-tuned and Joint training see training data: they are references, not merge methods."
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{_summary(runs)}</p>',
        _facts(notebooks, suite, parameters, runs),
        "<h2>The table</h2>",
        f"<p>{explanation}</p>",
        _main_table(header, rows, {run["label"] for run in runs}),
        _figure(folder / "main_table.png", "Mean accuracy of the final model; the small lines are single orders."),
    ]
    if "03_accuracy_curves" in notebooks:
        parts += ["<h2>Accuracy as models arrive</h2>"]
        text = "Above, mean accuracy over the tasks merged so far; below, what merging does to tasks still to come."
        parts += [_figure(folder / "accuracy_curves.png", text)]
    parts += ["<h2>Methods</h2>"]
    if any(row[0].startswith(("DOP-exact", "DOP-all")) for row in rows):
        ours = "DOP-exact and DOP-all are cmmlib's own: DOP's objective solved exactly, and over all tasks at once."
        parts += [f"<p>{ours}</p>"]
    parts += [_methods([row[0] for row in rows], parameters)]
    if (folder / "sources.csv").exists():
        with open(folder / "sources.csv", newline="", encoding="utf-8") as file:
            parts += ["<h2>Models and data</h2>", _table(*csv.reader(file), kind="words")]
    parts += [_footer()]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _finished_notebooks(folder: Path) -> dict[str, Notebook]:
    """The executed notebooks of a run by name, the table's among them."""
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    if "02_main_table" not in [path.stem for path in paths]:
        raise FileNotFoundError(
            f"{folder} holds no run (there is no notebooks/02_main_table.ipynb in it); make one with `cmm reproduce`, and "
            "name the folder that it prints"
        )
    notebooks = {path.stem: _notebook(path) for path in paths}
    for path in paths:
        if not _finished(notebooks[path.stem]):
            raise ValueError(f"{path} was not finished; run the same `cmm reproduce` again: it goes on where it was")
    for name in NEEDED + (("accuracy_curves.png",) if "03_accuracy_curves" in notebooks else ()):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing; run the same `cmm reproduce` again: it writes it anew")
    return notebooks


def _notebook(path: Path) -> Notebook:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no notebook ({error}); run the same `cmm reproduce` again") from None


def _finished(notebook: Notebook) -> bool:
    states = [cell["metadata"].get("papermill", {}) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    ended = notebook["metadata"].get("papermill", {}).get("end_time")
    return bool(ended) and all(state.get("status") == "completed" and not state.get("exception") for state in states)


def _summary(runs: list[dict[str, str]]) -> str:
    labels = len({run["label"] for run in runs})
    return (
        "Fine-tuned models arrive one after another, each is merged into one model and thrown away, and no training data is "
        f"seen. Measured here: {len(runs)} merge sequences by {labels} method{'s' * (labels > 1)}, under shuffled orders."
    )


def _facts(notebooks: dict[str, Notebook], suite: str, parameters: dict[str, Any], runs: list[dict[str, str]]) -> str:
    spans = [notebook["metadata"]["papermill"] for notebook in notebooks.values()]
    start = min(datetime.fromisoformat(span["start_time"]) for span in spans).astimezone(UTC)
    end = max(datetime.fromisoformat(span["end_time"]) for span in spans).astimezone(UTC)
    seeds: dict[str, set[int]] = {}
    for run in runs:
        seeds.setdefault(run["label"], set()).add(int(run["seed"]))
    usual = set.union(*seeds.values())
    orders = f"seeds {_ranges(usual)}"
    fewer = [f"{label} {_ranges(own)}" for label, own in seeds.items() if own != usual]
    language = notebooks["02_main_table"]["metadata"].get("language_info", {})
    facts = {
        "Suite": suite,
        "Backbone": parameters.get("backbone") or _first_backbone(suite),
        "Tasks": ", ".join(sorted({run["num_tasks"] for run in runs}, key=int)),
        "Orders": orders + (f" ({'; '.join(fewer)})" if fewer else ""),
        "Run": f"{start:%Y-%m-%d %H:%M} to {end:{'' if end.date() == start.date() else '%Y-%m-%d '}%H:%M} UTC",
        "Run with": f"Python {language.get('version', 'unknown')}, papermill {spans[0]['version']}",
    }
    if parameters.get("suite_options"):
        facts["Options"] = ", ".join(f"{key} = {value}" for key, value in parameters["suite_options"].items())
    for name, notebook in notebooks.items():
        facts[f"Check, {name}"] = _last_line(notebook)
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()) + "</dl>"


def _first_backbone(suite: str) -> str:
    from ..suites import load_suite

    try:
        return load_suite(suite).backbones[0]
    except ValueError:  # a run made elsewhere, with a suite that is not known here
        return "the suite's first"


def _last_line(notebook: Notebook) -> str:
    """What the last cell, which compares with the reference run, printed."""
    outputs = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"][-1]
    text = "".join("".join(output.get("text", "")) for output in outputs)
    return (text.strip().splitlines() or ["nothing printed"])[-1]


def _ranges(numbers: set[int]) -> str:
    """``40–42, 45``."""
    ordered, spans = sorted(numbers), []
    for number in ordered:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in spans)


def _read_markdown_table(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]  # without the rule under the header


def _main_table(header: list[str], rows: list[list[str]], methods: set[str]) -> str:
    """Columns called "8 tasks ACC" stand under a common "8 tasks"; the best of the methods is bold."""
    names = [name.rpartition(" ") for name in header[1:]]
    tops = [top for top, _, _ in names]
    spans = "".join(f'<th colspan="{tops.count(top)}">{escape(top)}</th>' for top in dict.fromkeys(tops))
    best = {}
    for column, (_, _, metric) in enumerate(names, 1):
        merged = [row for row in rows if row[0] in methods and row[column]]
        if metric == "ACC" and merged:
            top = max(float(row[column].split()[0]) for row in merged)
            best[column] = {row[0] for row in merged if float(row[column].split()[0]) == top}
    cells = [
        [f"<b>{escape(cell)}</b>" if row[0] in best.get(i, ()) else escape(cell) for i, cell in enumerate(row)]
        for row in rows
    ]
    lower = "".join(f"<th>{escape(name)}</th>" for _, _, name in names)
    head = f"<tr><th></th>{spans}</tr><tr><th>{escape(header[0])}</th>{lower}</tr>"
    return _wrap(head, cells, "numbers")


def _table(header: list[str], *rows: list[str], kind: str) -> str:
    head = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>"
    return _wrap(head, [[escape(cell) for cell in row] for row in rows], kind)


def _wrap(head: str, cells: list[list[str]], kind: str) -> str:
    """A table that scrolls where the window is narrow; ``head`` and ``cells`` are HTML already."""
    body = "\n".join("<tr>" + "".join(f"<td>{_with_minus(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f'<div class="wide"><table class="{kind}"><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'


def _with_minus(cell: str) -> str:
    return f"−{cell[1:]}" if cell[:1] == "-" and cell[1:2].isdigit() else cell


def _methods(labels: list[str], parameters: dict[str, Any]) -> str:
    from ..methods import get_method, method_names
    from .protocol import published_rows

    rows = {label: row[0] for label, row in published_rows(8).items()}
    rows |= {label: row[0] for label, row in (parameters.get("rows") or {}).items()}
    cells = []
    for label in labels:
        if label in rows:
            paper = escape(get_method(rows[label]).paper if rows[label] in method_names() else "")
            link = f'<a href="{paper}">{paper}</a>' if paper.startswith("https://") else paper
            cells.append([escape(label), f"<code>{escape(rows[label])}</code>", link])
    return _wrap("<tr><th>row</th><th>method of cmmlib</th><th>paper</th></tr>", cells, "words")


def _figure(path: Path, caption: str) -> str:
    data, text = base64.b64encode(path.read_bytes()).decode(), escape(caption)
    image = f'<img src="data:image/png;base64,{data}" alt="{text}">'
    return f'<figure><div class="wide">{image}</div><figcaption>{text}</figcaption></figure>'


def _footer() -> str:
    from .. import __version__

    versions = f"cmmlib {__version__}, torch {version('torch')}, transformers {version('transformers')}"
    return (
        f"<footer>Page made on {datetime.now(UTC):%Y-%m-%d} by <code>cmm report</code> from the run's own files; nothing "
        f"was computed anew. Installed where it was made: {escape(versions)}.</footer>"
    )
