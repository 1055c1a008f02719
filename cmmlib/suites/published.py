"""The papers' own figures, to compare with ours.

They are for the CLIP suite only; the mini suite's numbers are never compared with them.  Figures that could not be verified
are left out: DOP's own table could not be read anywhere.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_FOLDERS = {"clip": Path(__file__).parent / "clip" / "published"}

LABELS = {"Pre-trained": "Pretrained", "Individual fine-tuned": "Individual"}
"""A paper's name of a row → ours, where they differ.  A row that we do not have keeps the paper's."""


def published_table(suite: str, backbone: str) -> pd.DataFrame:
    """What papers report for methods under this protocol.

    Returns:
        Columns ``num_tasks``, ``label``, ``metric`` ("ACC" or "BWT"), ``value`` and ``std`` (over orders, NaN where none is
        reported; ACC in per cent, BWT in points), ``source``, and ``note``, which is not NaN where a figure looks like a
        slip; empty for a suite that no paper reports.
    """
    table = _read(suite, "continual.csv", backbone, ["num_tasks", "method", "metric", "value", "std", "source", "note"])
    return table.rename(columns={"method": "label"}).replace({"label": LABELS})


def published_individual(suite: str, backbone: str) -> pd.DataFrame:
    """The accuracies of the pretrained and the individual models that the models' authors report, in per cent.

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
