"""What a split's files hold, told without their images: by the footers of Parquet files, the headers in tar files."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    import pyarrow as pa


class SplitFile(NamedTuple):
    """A file of a split, wherever it lies: its path or address, for messages, and what opens it."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Group:
    """Rows that are fetched together: a row group of a Parquet file, or a whole tar file.

    Attributes:
        number: of the row group in its file.
        size: of the images' and labels' columns as they are stored, in bytes.
        footer: the Parquet file's metadata; None for a tar file.
    """

    file: SplitFile
    number: int
    rows: int
    size: int
    footer: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Contents:
    """The groups of a split in their order, and the label names that each file declares, by file; tar files declare none."""

    groups: tuple[Group, ...]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of images."""
        return sum(group.rows for group in self.groups)

    @property
    def size(self) -> int:
        """Bytes of all images and labels as they are stored."""
        return sum(group.size for group in self.groups)


def parquet_contents(files: Sequence[SplitFile], task: ClipTask) -> Contents:
    """Read the footers of Parquet files.

    Raises:
        ValueError: a file is damaged, lacks a column, or has one that holds no images or no class labels.
    """
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    groups: list[Group] = []
    names: dict[str, Sequence[str]] = {}
    for file in files:
        try:
            with file.open() as opened, parquet.ParquetFile(opened) as reader:
                footer, schema = reader.metadata, reader.schema_arrow
        except pa.ArrowInvalid as error:
            raise damaged(file, error) from None
        where = f"data set {task.dataset}, {file.name}"
        require_columns(schema.names, task, where)
        _require_types(schema, task, where)
        groups += [
            Group(file, number, footer.row_group(number).num_rows, _column_bytes(footer.row_group(number), task), footer)
            for number in range(footer.num_row_groups)
        ]
        declared = datasets.Features.from_arrow_schema(schema)[task.label]
        if found := getattr(declared, "names", None):
            names[file.name] = found
    return Contents(tuple(groups), names)


def tar_contents(files: Sequence[SplitFile], task: ClipTask) -> Contents:
    """Walk the headers in webdataset tar files.

    Raises:
        ValueError: a file is damaged, or a sample lacks a column.
    """
    groups = []
    for file in files:
        rows = size = 0
        for name, members in tar_samples(file):
            require_columns(members, task, f"data set {task.dataset}, {name} in {file.name}")
            rows += 1
            size += members[task.image][1] + members[task.label][1]
        groups.append(Group(file, 0, rows, size))
    return Contents(tuple(groups))


def tar_samples(file: SplitFile) -> Iterator[tuple[str, dict[str, tuple[Callable[[], bytes], int]]]]:
    """The samples of a webdataset tar file: files with the same name and different suffixes, which are its columns.

    Yields:
        The sample's name, and column → what reads it while the sample is the present one, and its size.

    Raises:
        ValueError: the file is damaged.
    """
    name = ""
    sample: dict[str, tuple[Callable[[], bytes], int]] = {}
    try:
        with file.open() as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != name and sample:
                    yield name, sample
                    sample = {}
                name = key
                sample[suffix] = content.read, member.size
            if sample:
                yield name, sample
    except tarfile.TarError as error:
        raise damaged(file, error) from None


def require_columns(present: Sequence[str] | Mapping[str, Any], task: ClipTask, where: str) -> None:
    """Raise ValueError unless the columns of images and labels are there."""
    for column in (task.image, task.label):
        if column not in present:
            raise ValueError(
                f"{where} has no column {column!r}, only {', '.join(map(repr, present))}: the data set has changed. Give "
                f'an earlier commit, revisions={{"{task.dataset}": "<commit>"}}, or data_dir with the earlier files'
            )


def damaged(file: SplitFile, error: object) -> ValueError:
    """The error for a file that cannot be read."""
    return ValueError(f"{file.name} is damaged: remove it and fetch it again ({error})")


def _require_types(schema: pa.Schema, task: ClipTask, where: str) -> None:
    import pyarrow as pa

    image, label = schema.field(task.image).type, schema.field(task.label).type
    encoded = image.field("bytes").type if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0 else image
    if not (pa.types.is_binary(encoded) or pa.types.is_large_binary(encoded)):
        raise ValueError(
            f"{where}: column {task.image!r} holds {image}, where the bytes of image files are expected, plain or as "
            "struct<bytes, path>"
        )
    if not (pa.types.is_integer(label) or pa.types.is_boolean(label)):
        raise ValueError(f"{where}: column {task.label!r} holds {label}, not class labels")


def _column_bytes(group: Any, task: ClipTask) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    used = (task.image, task.label)
    return sum(column.total_compressed_size for column in columns if column.path_in_schema.split(".")[0] in used)
