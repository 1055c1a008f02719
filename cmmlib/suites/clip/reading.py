"""Reading a split's files as one `datasets.Dataset` that is never wholly in memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import require_space
from ...paths import cache_dir
from .label_column import class_labels
from .label_names import check_labels
from .rows import parquet_rows, tar_rows
from .split_files import CARD
from .tasks import ClipTask

if TYPE_CHECKING:  # datasets takes seconds to import
    from datasets import Dataset, Features


def read_test_set(folder: Path, files: Sequence[str], task: ClipTask, key: str, check_names: bool = True) -> Dataset:
    """Read the columns image (PIL) and label (int64, or ClassLabel if declared) of a split's files, in their order.

    Parquet cannot be mapped into memory, so the two columns are copied, with the images still compressed, into an unnamed
    temporary file that can be.  The copy is in `cache_dir`, takes about as much space as the split's files, and vanishes
    with the data set, even if the process is killed.  (`datasets` would leave its copy in its cache for good.)

    Args:
        files: names of Parquet or webdataset tar files in ``folder``.
        key: names the content, see `cmmlib.suites.suite.Suite.test_set_key`.
        check_names: whether the label names that the data set declares must agree with the task's.

    Raises:
        ValueError: a file is damaged; a column is missing; labels are null, out of range or named differently; an image
            has no content.
        OSError: too little space on the disk.
    """
    import datasets
    import pyarrow as pa

    where = f"data set {task.dataset} in {folder}"
    paths = [folder / name for name in files]
    parquet = paths[0].suffix == ".parquet"
    features = _declared(folder, paths, task) if parquet else {}
    names = getattr(features.get(task.label), "names", None)
    if names and check_names:
        check_labels(task, names, str(folder))
    declared = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    schema = datasets.Features({"image": datasets.Image(), "label": declared}).arrow_schema
    batches = parquet_rows(paths, task, where) if parquet else tar_rows(paths, task, where)

    size = sum(path.stat().st_size for path in paths)
    root = cache_dir() / "clip"
    root.mkdir(parents=True, exist_ok=True)
    require_space(root, size)
    with tempfile.TemporaryFile(dir=root) as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for images, given in batches:
                images = images.cast(schema.field("image").type)
                if images.null_count or images.field("bytes").null_count:
                    raise ValueError(f"{where}: column {task.image!r} has images without content")
                writer.write_batch(pa.record_batch([images, class_labels(given, task, where)], schema=schema))
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
    # without a fingerprint, datasets would hash all images
    return datasets.Dataset(
        datasets.table.InMemoryTable(table),
        split=datasets.Split(task.split),
        fingerprint=sha256(key.encode()).hexdigest()[:16],
    )


def _declared(folder: Path, paths: Sequence[Path], task: ClipTask) -> Features:
    """The features that a data set's card declares, else those in its first Parquet file."""
    import datasets
    from pyarrow import parquet

    if (folder / CARD).exists():
        try:
            infos = datasets.info.DatasetInfosDict.from_directory(str(folder))
        except Exception as error:  # unexpected YAML can fail in any way
            raise ValueError(f"{folder / CARD}: its dataset_info cannot be read ({error})") from None
        info = infos.get(task.config or "default") or (next(iter(infos.values())) if len(infos) == 1 else None)
        if info is not None and info.features:
            return info.features
    return datasets.Features.from_arrow_schema(parquet.read_schema(paths[0]))
