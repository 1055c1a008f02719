"""Paths: the cache, the notebooks, and the results of the reference runs."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_WAY_OUT = "set CMMLIB_CACHE to a folder that can be written"


def cache_dir() -> Path:
    """The folder of everything that can be made again (models, data sets, scores).

    It is the environment variable ``CMMLIB_CACHE``, by default ``~/.cache/cmmlib``.
    It is made where there is none.  A relative ``CMMLIB_CACHE`` is made absolute in the environment too: notebooks and
    other child processes, which may run in another folder, then mean the same one.

    Raises:
        OSError: it cannot be made.
    """
    given = os.environ.get("CMMLIB_CACHE")
    try:
        place = Path(given or "~/.cache/cmmlib").expanduser().absolute()
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        raise OSError(f"no cache can be made at {given or '~/.cache/cmmlib'} ({error}); {_WAY_OUT}") from None
    if given:
        os.environ["CMMLIB_CACHE"] = str(place)
    return place


def require_writable_cache() -> None:
    """Raises OSError unless the cache is there or can be made, and can be written."""
    place = cache_dir()
    if not os.access(place, os.W_OK):
        raise OSError(f"the cache {place} cannot be written; {_WAY_OUT}")


def results_path(suite: str) -> Path:
    """The default file of a suite's scores (`cmmlib.experiments.store.Results`)."""
    return cache_dir() / "results" / f"{suite}.sqlite"


def notebooks_dir() -> Path:
    """The folder of the notebooks: that of the clone that cmmlib is imported from, else the installed one.

    Raises:
        FileNotFoundError: there is neither.
    """
    return _shipped("notebooks", "_notebooks", "00_quickstart.ipynb")


def figures_dir(*below: str) -> Path:
    """Where results go unless a folder is given, or a folder below it.

    In a clone of the repository that is its ``figures``, whatever the working directory; for an installed cmmlib it is the
    working directory's.
    """
    in_clone = (_PACKAGE.parent / "notebooks" / "00_quickstart.ipynb").exists()
    return (_PACKAGE.parent if in_clone else Path.cwd()).joinpath("figures", *below)


def run_dir(suite: str, backbone: str) -> Path:
    """The folder of a run's results and figures, relative to ``figures`` or ``figures/reference``."""
    return Path(suite) / backbone.replace("/", "-")


def reference_dir(suite: str, backbone: str) -> Path:
    """The folder of the reference run's results and figures for a suite and backbone.

    Raises:
        FileNotFoundError: there is no reference run of these.
    """
    run = run_dir(suite, backbone)
    return _shipped("figures/reference", "_reference", run) / run


def _shipped(in_clone: str, in_package: str, content: str | Path) -> Path:
    for folder in (_PACKAGE.parent / in_clone, _PACKAGE / in_package):
        if (folder / content).exists():
            return folder
    raise FileNotFoundError(
        f"no {in_clone}/{content} in {_PACKAGE.parent} and no {in_package}/{content} in {_PACKAGE}: install cmmlib from "
        "a wheel, or run it from a clone of its repository"
    )
