"""Reading rows of a split's files as one `datasets.Dataset` that is never wholly in memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from ...files import require_space
from ...paths import cache_dir
from .label_column import class_labels
from .rows import parquet_rows, tar_rows
from .sampling import Chosen
from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    import pyarrow as pa
    from datasets import Dataset


def read_rows(chosen: Chosen, task: ClipTask, key: str, names: Sequence[str] | None) -> Dataset:
    """Read the columns image (PIL) and label (int64, or ClassLabel if declared) of rows, in their order.

    Parquet cannot be mapped into memory, so the two columns are copied, with the images still compressed, into an unnamed
    temporary file that can be.  The copy is in `cache_dir`, takes about as much space as the rows do in their files, and
    vanishes with the data set, even if the process is killed.  (`datasets` would leave its copy in its cache for good.)

    Args:
        key: names the content, see `cmmlib.suites.suite.Suite.test_set_key`.
        names: label names that the data set declares.

    Raises:
        ValueError: a file is damaged; labels are null or out of range; an image has no content.
        FileNotFoundError: the hub cannot be reached.
        OSError: too little space on the disk.
    """
    import datasets
    import pyarrow as pa

    where = f"data set {task.dataset}"
    declared = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")
    schema = datasets.Features({"image": datasets.Image(), "label": declared}).arrow_schema
    parquet = bool(chosen) and chosen[0][0].footer is not None

    root = cache_dir() / "clip"
    root.mkdir(parents=True, exist_ok=True)
    require_space(root, sum(group.size for group, _ in chosen))
    with tempfile.TemporaryFile(dir=root) as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for given_images, given_labels in parquet_rows(chosen, task) if parquet else tar_rows(chosen, task):
                images = _as_structs(given_images).cast(schema.field("image").type)
                if images.null_count or images.field("bytes").null_count:
                    raise ValueError(f"{where}: column {task.image!r} has images without content")
                writer.write_batch(pa.record_batch([images, class_labels(given_labels, task, where)], schema=schema))
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
    # without a fingerprint, datasets would hash all images
    return datasets.Dataset(
        datasets.table.InMemoryTable(table),
        split=datasets.Split(task.split),
        fingerprint=sha256(key.encode()).hexdigest()[:16],
    )


def _as_structs(images: pa.Array) -> pa.Array:
    """Image files as struct<bytes, path>, which `datasets` decodes, also where a column holds plain bytes."""
    import pyarrow as pa

    struct = pa.types.is_struct(images.type)
    if struct and images.type.get_field_index("path") >= 0:
        return images
    given = images.field("bytes") if struct else images
    return pa.StructArray.from_arrays([given, pa.nulls(len(images), pa.string())], ["bytes", "path"])
