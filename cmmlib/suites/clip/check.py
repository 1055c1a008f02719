"""What could stop or falsify a run, repository by repository, found without fetching weights or images."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ...files import parse_json, require_content
from ...models.foreign_files import no_weights
from ...models.hub import model_files, weight_files
from .backbones import base_id, tower_id
from .repositories import Repositories
from .suite import ClipSuite

ZIP = b"PK\x03\x04"
THREADS = 8  # repositories at a time: most of the time goes by in waiting for the hub

SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size", "image_size")
"""What a vision tower and its base must have in common."""


@dataclass
class Checked:
    """A repository that a run uses, and what is wrong with it.

    Attributes:
        kind: "models" or "datasets".
        place: "hub", or the local folder.
        revision: the pinned commit or the hash of a local folder; "" where it has not been used yet or was not reached.
        files: how many files a run needs.
        size: of what a run needs of them, in bytes.
        missing: how much of that is not on this machine yet, in bytes.
        rows: number of images that are scored; None for models.
        fault: what would stop or falsify a run; "" if nothing was found.
    """

    kind: str
    id: str
    place: str
    revision: str = ""
    files: int = 0
    size: int = 0
    missing: int = 0
    rows: int | None = None
    fault: str = ""


class _Look(NamedTuple):
    """A repository to look at, and what fills in the rest or raises an error that says what is wrong."""

    kind: str
    id: str
    look: Callable[[Checked], None]


def count_repositories(backbones: Sequence[str], tasks: Sequence[str]) -> int:
    """How many repositories `check_repositories` looks at."""
    return len(backbones) * (1 + len(tasks)) + len(tasks)


def check_repositories(
    suite: ClipSuite, backbones: Sequence[str], tasks: Sequence[str], limit: int | None, done: Callable[[], object]
) -> list[Checked]:
    """Check the models of all backbones and the test sets, as far as configurations, headers and footers tell.

    Pins the revisions: what was checked is what a run will use.

    Args:
        limit: the largest number of images per test set; None for all.
        done: called after each repository.
    """
    # here, since an import in several threads at once may fail
    import datasets  # noqa: F401
    from pyarrow import parquet  # noqa: F401
    from transformers import CLIPConfig, CLIPVisionConfig  # noqa: F401

    folders = suite.repositories.folders

    def checked(what: _Look) -> Checked:
        found = Checked(what.kind, what.id, str(folders[what.kind] / what.id) if what.kind in folders else "hub")
        try:
            what.look(found)
        except (ValueError, OSError) as error:
            found.fault = str(error)
        done()
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(checked, _looks(suite, backbones, tasks, limit)))


def _looks(suite: ClipSuite, backbones: Sequence[str], tasks: Sequence[str], limit: int | None) -> Iterator[_Look]:
    repositories = suite.repositories
    for backbone in backbones:
        base = base_id(backbone)
        yield _Look("models", base, partial(_base, repositories))
        for task in tasks:
            yield _Look("models", tower_id(backbone, task), partial(_tower, repositories, base))
    for known in suite.tasks:
        if known.name in tasks:
            yield _Look("datasets", known.dataset, partial(_test_set, suite, known.name, limit))


def _base(repositories: Repositories, found: Checked) -> None:
    _model(repositories, found)
    names = set(repositories.names("models", found.id))
    if "preprocessor_config.json" not in names:
        raise FileNotFoundError(f"{found.id} has no preprocessor_config.json, which says how images are prepared")
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= names:
        raise FileNotFoundError(f"{found.id} has no tokenizer.json, nor vocab.json and merges.txt, to read prompts with")
    _shape(repositories, found.id)


def _tower(repositories: Repositories, base: str, found: Checked) -> None:
    _model(repositories, found)
    mine, theirs = _shape(repositories, found.id), _shape(repositories, base)
    if differ := [f"{key} {mine[key]} where the base has {theirs[key]}" for key in SHAPE if mine[key] != theirs[key]]:
        raise ValueError(f"{found.id} was not fine-tuned from {base}: its config.json has {', '.join(differ)}")


def _model(repositories: Repositories, found: Checked) -> None:
    names = repositories.names("models", found.id)
    if not weight_files(set(names)):
        raise no_weights(found.id, names)
    if "config.json" not in names:
        raise FileNotFoundError(f"{found.id} has no config.json, which says what its weights are")
    sizes = _size_up(repositories, found, model_files(names))
    for name, size in sizes.items():
        if name.endswith(".safetensors"):
            _require_whole(repositories, found.id, name, size)
        elif name.endswith(".bin"):
            _require_end(repositories, found.id, name)


def _require_whole(repositories: Repositories, repo: str, name: str, size: int) -> None:
    """Raise ValueError unless a safetensors file has the size that its header describes."""
    from ...models.safetensors_reader import parse_header

    with repositories.open("models", repo, name) as file:
        try:
            parse_header(file, size)
        except ValueError as error:
            raise ValueError(f"{repo}: {name} is not a valid safetensors file ({error}); fetch it again") from None


def _require_end(repositories: Repositories, repo: str, name: str) -> None:
    """Raise ValueError if a file of torch's begins as a ZIP archive and does not end as one; older files tell nothing."""
    with repositories.open("models", repo, name) as file:
        if file.read(len(ZIP)) == ZIP and not zipfile.is_zipfile(file):
            raise ValueError(f"{repo}: {name} has no end, as after an interrupted download; fetch it again")


def _shape(repositories: Repositories, repo: str) -> dict[str, Any]:
    """What the configuration of a model says of its vision tower, defaults included."""
    from transformers import CLIPConfig, CLIPVisionConfig

    with repositories.open("models", repo, "config.json") as file:
        try:
            config = parse_json(file.read())
            vision = CLIPConfig(**config).vision_config if "vision_config" in config else CLIPVisionConfig(**config)
        except Exception as error:  # transformers checks a configuration in many ways
            raise ValueError(f"{repo}: config.json is not the configuration of a CLIP model ({error})") from None
    return {key: getattr(vision, key) for key in SHAPE}


def _test_set(suite: ClipSuite, task: str, limit: int | None, found: Checked) -> None:
    split = suite.split(task)
    _size_up(suite.repositories, found, [*split.about, *split.files])
    contents = split.contents()
    found.rows = contents.rows
    if limit is not None and split.parquet:
        chosen = split.chosen(contents, limit)
        found.size = sum(group.size for group, _ in chosen)
        found.missing = min(found.missing, found.size)


def _size_up(repositories: Repositories, found: Checked, files: Sequence[str]) -> dict[str, int]:
    """Fill in the files, their sizes and the revision."""
    sizes = repositories.sizes(found.kind, found.id, files)
    here = {name: repositories.path(found.kind, found.id, name) for name in files}
    found.files, found.size = len(files), sum(sizes.values())
    found.missing = sum(size for name, size in sizes.items() if here[name] is None)
    for path in here.values():
        if path is not None:
            require_content(path)
    found.revision = repositories.known_revision(found.kind, found.id, files) or ""
    return sizes
