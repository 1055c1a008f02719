"""The papers' own figures, to stand beside ours.

They are of the CLIP suite alone: the mini suite's numbers are never set beside them.  A figure that could not be verified is
not there; of no figure is the standard deviation over orders known.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_FOLDERS = {"clip": Path(__file__).parent / "clip" / "published"}


def published_table(suite: str, backbone: str) -> pd.DataFrame:
    """What papers report of methods under this protocol; empty for a suite that no paper reports.

    Returns:
        Columns ``num_tasks``, ``label``, ``metric`` (ACC in per cent or BWT in points), ``value``, ``source``.
    """
    return _read(suite, "continual.csv", backbone, ["num_tasks", "label", "metric", "value", "source"])


def published_individual(suite: str, backbone: str) -> pd.DataFrame:
    """Per task the accuracy in per cent of the pretrained and of the individual model, as the models' authors report it.

    Source: the documentation of the model zoo (``tanganke``'s CLIP towers).

    Returns:
        Columns ``pretrained``, ``individual``, indexed by ``task``; empty for a suite that no paper reports.
    """
    return _read(suite, "individual.csv", backbone, ["task", "pretrained", "individual"]).set_index("task")


def _read(suite: str, file: str, backbone: str, columns: list[str]) -> pd.DataFrame:
    if suite not in _FOLDERS:
        return pd.DataFrame(columns=columns)
    frame = pd.read_csv(_FOLDERS[suite] / file)
    return frame.loc[frame["backbone"] == backbone, columns].reset_index(drop=True)
