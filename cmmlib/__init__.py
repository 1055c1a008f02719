"""Continual model merging: fine-tuned models arrive one after another, each is merged into one, none is kept.

Names are imported when they are first used (PEP 562), so that ``cmm --help`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import metrics
    from .merger import ContinualMerger, merge
    from .methods import get_method, method, method_names
    from .orders import task_order
    from .pareto import pareto_front

    __version__: str

_HOME = {
    "ContinualMerger": "merger",
    "merge": "merger",
    "get_method": "methods",
    "method": "methods",
    "method_names": "methods",
    "pareto_front": "pareto",
    "task_order": "orders",
}

__all__ = ["ContinualMerger", "get_method", "merge", "method", "method_names", "metrics", "pareto_front", "task_order"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name == "metrics":
        value = import_module(".metrics", __name__)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cmmlib")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
