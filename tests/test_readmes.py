"""Every path, command, option and parameter that a README names exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from cmmlib.cli.parser import make_parser

from .helpers.readmes import READMES, ROOT, commands, inline_code, prose

OUTPUTS = ("figures/mini", "figures/clip", "mini-zoo", ".cache", ".venv")
"""What running the project makes."""

HUB = ("openai/", "tanganke/")
"""Owners of models and data sets on the hub."""

by_readme = pytest.mark.parametrize("readme", READMES, ids=lambda path: path.relative_to(ROOT).as_posix())


def code_base() -> str:
    """All that a name can come from: files, their names, and the heads of the reference tables."""
    names = ["Makefile", "pyproject.toml", ".ci/run", ".gitignore"]
    files = [ROOT / name for name in names]
    for folder, pattern in (("cmmlib", "*.py"), ("notebooks", "*.ipynb"), ("tests", "*.py"), ("cmmlib", "*.j2")):
        files += sorted((ROOT / folder).rglob(pattern))
    tables = [path.read_text().splitlines()[0] for path in sorted((ROOT / "figures" / "reference").rglob("*.csv"))]
    return "\n".join([*(str(path) for path in files), *(path.read_text() for path in files), *tables])


CODE = code_base()


@by_readme
def test_links_lead_somewhere(readme: Path):
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(readme)) if "://" not in link]
    assert [link for link in links if not (readme.parent / link).exists()] == []


@by_readme
def test_paths_exist(readme: Path):
    missing = []
    for word in inline_code(readme):
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", word) or re.search(r"\bpath/to\b|^<|[A-Z]{3,}", word):
            continue
        known = any((folder / word).exists() for folder in (ROOT, readme.parent, ROOT / "cmmlib"))
        if not known and not word.startswith((*OUTPUTS, *HUB)) and word not in CODE:
            missing.append(word)
    assert missing == []


@by_readme
def test_names_exist(readme: Path):
    """Words with an underscore or a dot between them, as parameters and files have, stand in the code."""
    codes = [code for code in inline_code(readme) if not code.startswith(HUB)]
    words = {name for code in codes for name in re.findall(r"\w[\w.]*_\w+", code)}
    assert sorted(word for word in words if word not in CODE) == []
    files = {name for code in codes for name in re.findall(r"[\w-]+\.(?:py|csv|ipynb|png|md|json)\b", code)}
    assert sorted(name for name in files if name not in CODE and not list(ROOT.glob(f"*/**/{name}"))) == []


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {command.split()[1] for readme in READMES for command in commands(readme) if command.startswith("make ")}
    assert named and named <= targets


def test_options_of_the_command_exist(capsys: pytest.CaptureFixture[str]):
    seen = 0
    for readme in READMES:
        for command in commands(readme):
            if not command.startswith("cmm ") or command.split()[1].startswith("-"):
                continue
            name, *rest = command.split()[1:]
            with pytest.raises(SystemExit) as ended:  # argparse refuses an unknown command by 2
                make_parser().parse_args([name, "--help"])
            assert ended.value.code == 0, f"{readme}: {command}"
            options = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
            for option in rest:
                if option.startswith("--"):
                    seen += 1
                    assert option.partition("=")[0] in options, f"{readme}: {command}"
    assert seen > 5


def test_modules_that_are_run_exist_with_their_options():
    seen = 0
    for readme in READMES:
        for command in commands(readme):
            if not command.startswith("python -m cmmlib"):
                continue
            module, *rest = shlex.split(command.removeprefix("python -m ").replace("…", ""))
            spec = importlib.util.find_spec(module)
            assert spec is not None, f"{readme}: {command}"
            places = [Path(folder) for folder in spec.submodule_search_locations or ()]
            sources = [path for place in places for path in place.glob("*.py")] or [Path(str(spec.origin))]
            text = "\n".join(path.read_text() for path in sources)
            for option in rest:
                if option.startswith("--"):
                    seen += 1
                    assert f'"{option}"' in text, f"{readme}: {command}"
    assert seen > 3


def test_the_first_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 190
    assert [line for line in lines if len(line) > 110] == []
