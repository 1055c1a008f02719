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


def run_dir(suite: str, backbone: str) -> Path:
    """Where a run leaves its results and figures, below ``figures`` or ``figures/reference``."""
    return Path(suite) / backbone.replace("/", "-")


def reference_dir(suite: str, backbone: str) -> Path:
    """Results and figures of the reference run of a suite and backbone.

    Raises:
        FileNotFoundError: there are none.
    """
    run = run_dir(suite, backbone)
    return _shipped("figures/reference", "_reference", run) / run


def _shipped(in_clone: str, in_package: str, content: str | Path) -> Path:
    for folder in (_PACKAGE.parent / in_clone, _PACKAGE / in_package):
        if (folder / content).exists():
            return folder
    raise FileNotFoundError(
        f"no {content} beside {_PACKAGE} nor in it: install cmmlib from a wheel, or run it from a clone of its repository"
    )
