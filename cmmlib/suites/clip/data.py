"""Test sets as the hub lays them out: which files a split is in, and those files as one `datasets.Dataset`."""

from __future__ import annotations

import fnmatch
import mmap
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...files import require_space
from ...paths import cache_dir
from . import labels
from .tasks import ClipTask

if TYPE_CHECKING:  # datasets and pyarrow take seconds to import
    import pyarrow as pa
    from datasets import Dataset, Features

CARD = "README.md"
LABEL_RULE = "int64; false is 0, true is 1"
_FORMATS = (".parquet", ".tar")
_ROWS = 256  # images in memory at a time


def read_card(path: Path) -> dict[str, Any]:
    """The YAML at the head of a data set's README.md, {} if there is none."""
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(path) or {}
    except Exception as error:  # yaml's own kinds, or not UTF-8
        raise ValueError(f"{path}: the YAML at its head cannot be read ({error})") from None


def split_files(names: Sequence[str], card: Mapping[str, Any], task: ClipTask) -> list[str]:
    """The files that hold the split that a task is scored on.

    As the card's ``configs`` say; without these, those that bear the split's name, in the configuration's folder if the
    task names a configuration.

    Args:
        names: all files of the repository.
        card: see `read_card`.

    Raises:
        ValueError: there are none, or only a script that would make them.
    """
    files = [name for name in names if name.endswith(_FORMATS)]
    patterns = _patterns(card, task)
    if patterns is None:  # no card says where the splits are
        inside = [name for name in files if task.config is None or name.startswith(f"{task.config}/")]
        found = {split: [name for name in inside if _bears(name, split)] for split in ("train", "validation", "test")}
        found[task.split] = [name for name in inside if _bears(name, task.split)]
    else:
        found = {split: [name for name in files if _matches(name, globs)] for split, globs in patterns.items()}
    chosen = found.get(task.split)
    if chosen and len({PurePosixPath(name).parent for name in chosen}) == 1:
        return chosen
    where = f"data set {task.dataset}" + (f", configuration {task.config}" if task.config else "")
    if chosen:
        raise ValueError(f"{where}: its split {task.split!r} is spread over folders: {', '.join(chosen)}")
    script = f"{task.dataset.split('/')[1]}.py"
    if not files and script in names:
        raise ValueError(
            f"{where} is a script ({script}), and scripts are no longer run. Give the hub's own conversion, "
            f'revisions={{"{task.dataset}": "refs/convert/parquet"}}, or data_dir with its Parquet files'
        )
    splits = ", ".join(sorted(split for split, chosen in found.items() if chosen)) or "none"
    raise ValueError(
        f"{where} has no files ({', '.join(_FORMATS)}) for split {task.split!r}; splits that it has: {splits}. Give "
        f"another revision of it (revisions), or data_dir with {task.dataset}/data/{task.split}-00000-of-00001.parquet"
    )


def _patterns(card: Mapping[str, Any], task: ClipTask) -> dict[str, list[str]] | None:
    """{split: globs} of the task's configuration; None where the card has no such section."""
    configs = [entry for entry in card.get("configs") or [] if entry.get("data_files")]
    if not configs:
        return None
    if task.config is not None:
        configs = [entry for entry in configs if entry.get("config_name") == task.config]
    else:
        configs.sort(key=lambda entry: not (entry.get("default") or entry.get("config_name") == "default"))
    if not configs:
        return {}
    given = configs[0]["data_files"]
    if isinstance(given, Mapping):
        given = [{"split": split, "path": path} for split, path in given.items()]
    globs: dict[str, list[str]] = {}
    for entry in given if isinstance(given, list) else []:
        if isinstance(entry, Mapping):
            path = entry.get("path")
            globs.setdefault(str(entry.get("split")), []).extend([path] if isinstance(path, str) else path or [])
    return globs


def _bears(name: str, split: str) -> bool:
    """Whether a file's or folder's name says that it is of a split: data/test-00000-of-00001.parquet, test/0.tar."""
    return re.search(rf"(^|[-._/]){split}([-._/]|\d)", name) is not None


def _matches(name: str, globs: Sequence[str]) -> bool:
    """As the hub's globs: a star does not cross folders, two do."""
    return any(fnmatch.fnmatchcase(name, glob) and ("**" in glob or glob.count("/") == name.count("/")) for glob in globs)


def read_test_set(folder: Path, files: Sequence[str], task: ClipTask, key: str, check_names: bool = True) -> Dataset:
    """The columns image (PIL) and label of a split's files, in their order.

    The images stay as compressed as they are.  They lie on disk once, in the hub's cache, and never wholly in memory:
    Parquet cannot be mapped, so the two columns are copied into an unnamed temporary file that can be.  It is in
    `cache_dir`, takes as much space as the split's files, and is gone with the data set, even if the process is killed.
    (`datasets` would leave that copy in its cache for good.)

    Args:
        files: names in ``folder``, of Parquet or webdataset tar files.
        key: names the content, see `Suite.test_set_key`.
        check_names: whether label names that the data set declares must agree with the task's.

    Raises:
        ValueError: a column is missing; labels are null, out of range or named otherwise; an image has no content.
        OSError: too little space.
    """
    import datasets
    import pyarrow as pa

    where = f"data set {task.dataset} in {folder}"
    paths = [folder / name for name in files]
    parquet = paths[0].suffix == ".parquet"
    features = _declared(folder, paths, task) if parquet else {}
    names = getattr(features.get(task.label), "names", None)
    if names and check_names:
        labels.check_labels(task, names, str(folder))
    declared = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    schema = datasets.Features({"image": datasets.Image(), "label": declared}).arrow_schema
    batches = _parquet_rows(paths, task, where) if parquet else _tar_rows(paths, task, where)

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
                writer.write_batch(pa.record_batch([images, _labels(given, task, where)], schema=schema))
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
    # its own fingerprint would be a hash over all images
    return datasets.Dataset(
        datasets.table.InMemoryTable(table),
        split=datasets.Split(task.split),
        fingerprint=sha256(key.encode()).hexdigest()[:16],
    )


def _declared(folder: Path, paths: Sequence[Path], task: ClipTask) -> Features:
    """The features of a data set: the card's, else those in the Parquet file itself."""
    import datasets
    from pyarrow import parquet

    if (folder / CARD).exists():
        try:
            infos = datasets.info.DatasetInfosDict.from_directory(str(folder))
        except Exception as error:  # whatever the reader meets in a stranger's YAML
            raise ValueError(f"{folder / CARD}: its dataset_info cannot be read ({error})") from None
        info = infos.get(task.config or "default") or (next(iter(infos.values())) if len(infos) == 1 else None)
        if info is not None and info.features:
            return info.features
    return datasets.Features.from_arrow_schema(parquet.read_schema(paths[0]))


def _parquet_rows(paths: Sequence[Path], task: ClipTask, where: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    import pyarrow as pa
    from pyarrow import parquet

    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                _check_columns(file.schema_arrow.names, task, where)
                groups = file.num_row_groups
            for group in range(groups):
                # a reader of its own for each: one for all keeps what it has read, up to the size of the file
                with parquet.ParquetFile(path) as file:
                    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[task.image, task.label]):
                        yield batch.column(task.image), batch.column(task.label)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is damaged: remove it and fetch it again ({error})") from None


def _tar_rows(paths: Sequence[Path], task: ClipTask, where: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Webdataset: files of one name with several suffixes are one row, the suffixes its columns."""
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
                raise ValueError(f"{where}: {name}.{task.label} in {path.name} holds no number") from None
            if len(rows) == _ROWS:
                yield batch(rows)
                rows = []
    if rows:
        yield batch(rows)


def _tar_samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    name, row = "", {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != name and row:
                    yield name, row
                    row = {}
                name = key
                row[suffix] = tar.extractfile(member).read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is damaged: remove it and fetch it again ({error})") from None
    if row:
        yield name, row


def _check_columns(present: Sequence[str] | Mapping[str, Any], task: ClipTask, where: str) -> None:
    for column in (task.image, task.label):
        if column not in present:
            raise ValueError(
                f"{where} has no column {column!r}, only {', '.join(map(repr, present))}: it has been changed since. Give "
                f'an earlier commit, revisions={{"{task.dataset}": "<commit>"}}, or data_dir with the earlier files'
            )


def _labels(given: pa.Array, task: ClipTask, where: str) -> pa.Array:
    """Labels as int64, all of them classes of the task."""
    import pyarrow as pa
    from pyarrow import compute

    if not (pa.types.is_integer(given.type) or pa.types.is_boolean(given.type)):
        raise ValueError(f"{where}: column {task.label!r} holds {given.type}, not class labels")
    if given.null_count:
        raise ValueError(f"{where}: column {task.label!r} has rows without a label")
    values = given.cast(pa.int64())
    low, high = (compute.min_max(values)[key].as_py() for key in ("min", "max"))
    if len(values) and not 0 <= low <= high < len(task.class_names):
        raise ValueError(
            f"{where}: column {task.label!r} has labels from {low} to {high}, task {task.name} has classes 0 to "
            f"{len(task.class_names) - 1}"
        )
    return values
