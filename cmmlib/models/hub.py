"""The one place that speaks to a model hub."""

from __future__ import annotations

import errno
import fnmatch
import glob
import io
import re
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..files import free_space
from .foreign_files import no_weights
from .hub_errors import explained
from .side_files import side_files

if TYPE_CHECKING:  # torch takes a second to import
    from .source import Source

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WHOLE = (("model.safetensors", "model-*.safetensors"), ("pytorch_model.bin", "pytorch_model-*.bin"))
"""Names of a model in one file and of its shards, in the order of preference."""

_ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")


def model_files(names: Iterable[str]) -> list[str]:
    """The files of a model's repository that are needed, sorted.

    Configuration, side files, and of the weights what transformers' ``from_pretrained`` would read: one file, or shards
    with their index; ``.bin`` files only where there are no safetensors.
    """
    names = set(names)
    configs = {"config.json", "adapter_config.json"} & names
    return sorted({*configs, *side_files(names), *weight_files(names)})


def weight_files(names: Set[str]) -> list[str]:
    """Those of the `model_files` that hold weights; none if the repository has none that are read."""
    adapter = [name for name in _ADAPTER if name in names][:1]
    for whole, shards in _WHOLE:
        index = whole + ".index.json"
        if whole in names:
            return [whole, *adapter]
        if index in names:
            return [index, *fnmatch.filter(names, shards), *adapter]
    return adapter


def open_repository(repo: str, revision: str | None, opened: Callable[[Path], Source]) -> Source:
    """The model of a hub id, by what opens the folder that its files lie in; its revision is the commit.

    Raises:
        FileNotFoundError, OSError: see `fetch`.
    """
    folder = fetch(repo, revision)
    return replace(opened(folder), revision=folder.name)  # a snapshot's folder is named after the commit


def fetch(model: str, revision: str | None = None) -> Path:
    """Download (or find in the local cache) the `model_files` of a hub id, and give their folder.

    Raises:
        FileNotFoundError: ``model`` is neither a path nor a hub id, or the hub has no such model, or none with weights
            that are read, or it is gated, or it cannot be reached and the model is not in the local cache.
        OSError: the disk is full.
    """
    if not _HUB_ID.fullmatch(model):
        raise FileNotFoundError(f"{model}: no such file or folder, and not a hub id of the form owner/name")
    try:
        _, names = listing(model, revision)
    except FileNotFoundError:  # the hub cannot be reached, or says no: the cache may do
        if (folder := _cached(model, revision)) is not None:
            return folder
        raise
    if not weight_files(set(names)):
        raise no_weights(model, names)
    return _download(model, [glob.escape(name) for name in model_files(names)], revision, "model")


def _cached(model: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # a file that is missing there is named when the folder is opened
        return Path(snapshot_download(model, revision=revision, allow_patterns=["config.json"], local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def listing(repo: str, revision: str | None = None, kind: str = "model") -> tuple[str, list[str]]:
    """What the hub holds now: the commit that ``revision`` (a branch, tag or commit; None for main) names, and its files.

    Raises:
        FileNotFoundError: see `fetch`; the cache is not asked.
    """
    with explained(repo, revision, kind):
        info = _ask_once(repo, revision, kind)
        return str(info.sha), sorted(entry.rfilename for entry in info.siblings or ())


def sizes(repo: str, commit: str, kind: str = "model") -> dict[str, int]:
    """The sizes in bytes of all files of a repository at a commit, as the hub states them now.

    Raises:
        FileNotFoundError: see `fetch`; the cache is not asked.
    """
    with explained(repo, commit, kind):
        info = _ask_once(repo, commit, kind, files_metadata=True)
        return {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}


def _ask_once(repo: str, revision: str | None, kind: str, **more: Any) -> Any:
    """What the hub says about a repository.

    Unlike all else that huggingface_hub asks, this is not asked again for 23 seconds when the hub refuses.

    Raises:
        HfHubHTTPError, HFValidationError: the hub says no, or there can be no such repository.
        OfflineModeIsEnabled: the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return HfApi().repo_info(repo, revision=revision, repo_type=kind, **more)
    except (HfHubHTTPError, HFValidationError):
        raise
    except Exception as error:  # the network's own, as huggingface_hub's version has it
        raise OfflineModeIsEnabled(str(error)) from None


def _require_answer(repo: str, revision: str | None, kind: str) -> None:
    """Ask a hub once before all else; of too many requests (429) the caller's own may wait as long as the hub says."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        _ask_once(repo, revision, kind)
    except HfHubHTTPError as error:
        if error.response.status_code != 429:
            raise


def cached(repo: str, name: str, commit: str, kind: str = "model") -> Path | None:
    """Where a file of a repository lies in the local hub cache; None if it does not."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, name, revision=commit, repo_type=kind)
    return Path(path) if isinstance(path, str) else None


def cache_folder() -> Path:
    """The folder of the local hub cache, which need not exist yet."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def open_file(repo: str, name: str, commit: str, kind: str = "model", buffer: int = 1 << 13) -> BinaryIO:
    """Open a file of a repository for reading: in the local cache, else on the hub, by range requests and keeping nothing.

    Args:
        buffer: the least number of bytes that a request asks for.

    Raises:
        FileNotFoundError: see `fetch`; reading raises it too.
    """
    from huggingface_hub import HfFileSystem

    if (path := cached(repo, name, commit, kind)) is not None:
        return open(path, "rb")
    prefix = {"dataset": "datasets/"}.get(kind, "")
    with explained(repo, commit, kind):
        file = HfFileSystem().open(f"{prefix}{repo}@{commit}/{name}", "rb", cache_type="none")
    return cast(BinaryIO, io.BufferedReader(_Ranges(file, partial(explained, repo, commit, kind)), buffer))


class _Ranges(io.RawIOBase):
    """A file on a hub.  Each read is a request, whose errors are explained."""

    def __init__(self, file: Any, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._explained = file, explained

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with self._explained():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def download(repo: str, names: Sequence[str], commit: str, kind: str = "model") -> Path:
    """Have these files of a repository in the local cache, and give the folder that they lie in.

    Without a request where they are there already.

    Raises:
        FileNotFoundError: see `fetch`; or the cache holds only some of them and the hub cannot be reached.
        OSError: the disk is full.
    """
    found = [cached(repo, name, commit, kind) for name in names]
    if found and found[0] and all(found):  # no request, and no progress bar
        return found[0].parents[len(PurePosixPath(names[0]).parts) - 1]
    folder = _download(repo, [glob.escape(name) for name in names], commit, kind)
    if missing := [name for name in names if not (folder / name).exists()]:
        raise FileNotFoundError(f"{repo}: {', '.join(missing)} not in the local hub cache, and the hub cannot be reached")
    return folder


def _download(repo: str, patterns: list[str], revision: str | None, kind: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    asked: Any = {"repo_type": kind, "revision": revision, "allow_patterns": patterns}
    with explained(repo, revision, kind):
        try:
            _require_answer(repo, revision, kind)
            files = snapshot_download(repo, **asked, dry_run=True, tqdm_class=_no_bar())
        except (DryRunError, HfHubHTTPError, OfflineModeIsEnabled) as error:
            # the hub cannot be reached, or says no: the cache may do
            try:
                return Path(snapshot_download(repo, **asked, local_files_only=True))
            except LocalEntryNotFoundError:
                cause = error.__cause__
                raise cause if isinstance(cause, HfHubHTTPError) else error from None
        _require_space(cache_folder(), sum(file.file_size or 0 for file in files if file.will_download))
        return Path(snapshot_download(repo, **asked))


def _require_space(folder: Path, needed: int) -> None:
    free = free_space(folder)
    if free < needed:
        raise OSError(errno.ENOSPC, f"needs {needed / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} GB free")


def _no_bar() -> type[Any]:
    from tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent
