"""The rows of a split's files, in batches, from Parquet files or webdataset tar files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .contents import damaged, require_columns, tar_samples
from .sampling import Chosen
from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    import pyarrow as pa

ROWS = 256  # images in memory at a time


def parquet_rows(chosen: Chosen, task: ClipTask) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Read images and labels of Parquet files as they are stored, at most ROWS at a time.

    Raises:
        ValueError: a file is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    for group, rows in chosen:
        # a new reader for each group, since one reader keeps all that it has read in memory
        try:
            with group.file.open() as opened, parquet.ParquetFile(opened, metadata=group.footer) as reader:
                start = 0
                for batch in reader.iter_batches(ROWS, row_groups=[group.number], columns=[task.image, task.label]):
                    if rows is not None:
                        kept = [row - start for row in rows if start <= row < start + len(batch)]
                        start += len(batch)
                        batch = batch.take(pa.array(kept, pa.int64()))
                    yield batch.column(task.image), batch.column(task.label)
        except FileNotFoundError:  # the hub's
            raise
        except (pa.ArrowInvalid, OSError) as error:  # OSError of pages that cannot be decompressed
            raise damaged(group.file, error) from None


def tar_rows(chosen: Chosen, task: ClipTask) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Read images and labels of webdataset tar files, at most ROWS at a time.

    Raises:
        ValueError: a file is damaged, a sample lacks a column, or a label is not a number.
    """
    import pyarrow as pa

    def batch(rows: list[tuple[str, bytes, int]]) -> tuple[pa.Array, pa.Array]:
        return pa.array([{"bytes": data, "path": name} for name, data, _ in rows]), pa.array([row[2] for row in rows])

    rows: list[tuple[str, bytes, int]] = []
    for group, kept in chosen:
        wanted = None if kept is None else set(kept)
        for number, (name, members) in enumerate(tar_samples(group.file)):
            if wanted is not None and number not in wanted:
                continue
            where = f"data set {task.dataset}, {name} in {group.file.name}"
            require_columns(members, task, where)
            image, label = (members[column][0]() for column in (task.image, task.label))
            try:
                rows.append((f"{name}.{task.image}", image, int(label)))
            except ValueError:
                raise ValueError(f"{where}: its {task.label!r} is not a number") from None
            if len(rows) == ROWS:
                yield batch(rows)
                rows = []
    if rows:
        yield batch(rows)
