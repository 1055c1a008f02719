"""The rows of a split's files, in batches, from Parquet files or webdataset tar files."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    import pyarrow as pa

ROWS = 256  # images in memory at a time


def parquet_rows(paths: Sequence[Path], task: ClipTask, where: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Read images and labels of Parquet files as they are stored, at most ROWS at a time.

    Args:
        where: what is read, for the message.

    Raises:
        ValueError: a file is damaged or lacks a column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                _check_columns(file.schema_arrow.names, task, where)
                groups = file.num_row_groups
            for group in range(groups):
                # a new reader for each group, since one reader keeps all that it has read in memory
                with parquet.ParquetFile(path) as file:
                    for batch in file.iter_batches(ROWS, row_groups=[group], columns=[task.image, task.label]):
                        yield batch.column(task.image), batch.column(task.label)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is damaged: remove it and fetch it again ({error})") from None


def tar_rows(paths: Sequence[Path], task: ClipTask, where: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Read images and labels of webdataset tar files, at most ROWS at a time.

    Files with the same name and different suffixes are one row; the suffixes are its columns.

    Args:
        where: what is read, for the message.

    Raises:
        ValueError: a file is damaged or lacks a column, or a label is not a number.
    """
    import pyarrow as pa

    def batch(rows: list[tuple[str, bytes, int]]) -> tuple[pa.Array, pa.Array]:
        return pa.array([{"bytes": data, "path": name} for name, data, _ in rows]), pa.array([row[2] for row in rows])

    rows: list[tuple[str, bytes, int]] = []
    for path in paths:
        for name, row in _tar_samples(path):
            _check_columns(row, task, where)
            try:
                rows.append((f"{name}.{task.image}", row[task.image], int(row[task.label])))
            except ValueError:
                raise ValueError(f"{where}: {name}.{task.label} in {path.name} is not a number") from None
            if len(rows) == ROWS:
                yield batch(rows)
                rows = []
    if rows:
        yield batch(rows)


def _tar_samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    name = ""
    row: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != name and row:
                    yield name, row
                    row = {}
                name = key
                row[suffix] = file.read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is damaged: remove it and fetch it again ({error})") from None
    if row:
        yield name, row


def _check_columns(present: Sequence[str] | Mapping[str, Any], task: ClipTask, where: str) -> None:
    for column in (task.image, task.label):
        if column not in present:
            raise ValueError(
                f"{where} has no column {column!r}, only {', '.join(map(repr, present))}: the data set has changed. Give "
                f'an earlier commit, revisions={{"{task.dataset}": "<commit>"}}, or data_dir with the earlier files'
            )
