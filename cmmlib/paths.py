"""Where things lie: caches, notebooks, and the reference run's figures."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def cache_dir() -> Path:
    """Root of all that can be made again (models, data sets, scores): ``CMMLIB_CACHE``, else ``~/.cache/cmmlib``."""
    return Path(os.environ.get("CMMLIB_CACHE") or "~/.cache/cmmlib").expanduser()


def results_path(suite: str) -> Path:
    """The default store of a suite's scores."""
    return cache_dir() / "results" / f"{suite}.sqlite"


def notebooks_dir() -> Path:
    """The notebooks: of the clone that cmmlib is imported from, else those installed with it.

    Raises:
        FileNotFoundError: there are none.
    """
    return _shipped("notebooks", "_notebooks", "00_quickstart.ipynb")


def reference_dir(suite: str) -> Path:
    """Results and figures of the reference run of a suite.

    Raises:
        FileNotFoundError: there are none.
    """
    return _shipped("figures/reference", "_reference", suite) / suite


def _shipped(in_clone: str, in_package: str, content: str) -> Path:
    for folder in (_PACKAGE.parent / in_clone, _PACKAGE / in_package):
        if (folder / content).exists():
            return folder
    raise FileNotFoundError(
        f"no {content} beside {_PACKAGE} nor in it: install cmmlib from a wheel, or run it from a clone of its repository"
    )
