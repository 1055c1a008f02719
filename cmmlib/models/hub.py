"""The one place that speaks to a model hub."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..files import free_space
from .foreign_files import no_weights
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
    return sorted({*configs, *side_files(names), *_weights(names)})


def _weights(names: Set[str]) -> list[str]:
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
    if not _weights(set(names)):
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
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    with _explained(repo, revision, kind):
        try:
            info = HfApi().repo_info(repo, revision=revision, repo_type=kind)
        except (HfHubHTTPError, HFValidationError):
            raise
        except Exception as error:  # the network's own, as huggingface_hub's version has it
            raise OfflineModeIsEnabled(str(error)) from None
        return str(info.sha), sorted(entry.rfilename for entry in getattr(info, "siblings", None) or ())


def download(repo: str, names: Sequence[str], commit: str, kind: str = "model") -> Path:
    """Have these files of a repository in the local cache, and give the folder that they lie in.

    Without a request where they are there already.

    Raises:
        FileNotFoundError: see `fetch`; or the cache holds only some of them and the hub cannot be reached.
        OSError: the disk is full.
    """
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repo, name, revision=commit, repo_type=kind) for name in names]
    if found and all(isinstance(path, str) for path in found):  # no request, and no progress bar
        return Path(str(found[0])).parents[len(PurePosixPath(names[0]).parts) - 1]
    folder = _download(repo, [glob.escape(name) for name in names], commit, kind)
    if missing := [name for name in names if not (folder / name).exists()]:
        raise FileNotFoundError(f"{repo}: {', '.join(missing)} not in the local hub cache, and the hub cannot be reached")
    return folder


def _download(repo: str, patterns: list[str], revision: str | None, kind: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import DryRunError, HfHubHTTPError, LocalEntryNotFoundError

    asked: Any = {"repo_type": kind, "revision": revision, "allow_patterns": patterns}
    with _explained(repo, revision, kind):
        try:
            files = snapshot_download(repo, **asked, dry_run=True, tqdm_class=_no_bar())
        except DryRunError as error:  # the hub cannot be reached, or says no: the cache may do
            try:
                return Path(snapshot_download(repo, **asked, local_files_only=True))
            except LocalEntryNotFoundError:
                if isinstance(error.__cause__, HfHubHTTPError):
                    raise error.__cause__ from None
                raise
        _require_space(Path(HF_HUB_CACHE), sum(file.file_size or 0 for file in files if file.will_download))
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


@contextlib.contextmanager
def _explained(repo: str, revision: str | None, kind: str) -> Iterator[None]:
    """What can go wrong between here and a hub, in words that say what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    kind = {"dataset": "data set"}.get(kind, kind)
    try:
        yield
        return
    except GatedRepoError:
        reason = "it is gated: accept its terms on the hub and log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = f"no such folder here, and no such {kind} on the hub (or a private one: log in with `hf auth login`)"
    except RevisionNotFoundError:
        reason = f"the hub has no revision {revision!r} of it"
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        reason = "no such folder here, not in the local hub cache, and the hub cannot be reached"
    except HFValidationError:
        reason = "no such file or folder, and not a hub id of the form owner/name"
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = f"the hub refused it ({error})"
        if status in (401, 403):
            reason = f"the hub refuses access ({status}): log in with `hf auth login`, with a token that may read it"
        elif status >= 500:
            reason = f"not in the local hub cache, and the hub answers with error {status}: try again later"
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, f"{repo}: {error.strerror}: free some, or set HF_HOME to another disk") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = f"the hub cache cannot be written ({error}): set HF_HOME to a folder of yours"
        else:
            reason = f"the download failed, try again ({type(error).__name__}: {error})"
    except Exception as error:  # the network's own: requests', httpx' or httpx2', as huggingface_hub's version has it
        reason = f"the download failed, try again ({type(error).__name__}: {error})"
    raise FileNotFoundError(f"{repo}: {reason}")
