"""The reference run of a suite's very models, to compare results with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..paths import reference_dir
from .suite import Suite


def reference_of(suite: Suite, backbone: str) -> Path | None:
    """The folder of the committed reference run, if it is of these models, test sets and precision; else None.

    A zoo that was built on another machine differs in its last bits, a variant of a suite in its test sets: what is measured
    on them cannot be told from an error by comparing it with that run.
    """
    try:
        folder = reference_dir(suite.name, backbone)
    except FileNotFoundError:
        return None
    sources = pd.read_csv(folder / "sources.csv")
    recorded = sources.loc[sources["kind"] == "suite", "revision"]
    return folder if suite.content_hash(backbone) in set(recorded) else None
