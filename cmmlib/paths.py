"""Where things lie: caches, notebooks, and the reference run's figures."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_WAY_OUT = "set CMMLIB_CACHE to a folder that can be written"


def cache_dir() -> Path:
    """Root of all that can be made again (models, data sets, scores): ``CMMLIB_CACHE``, else ``~/.cache/cmmlib``.

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
