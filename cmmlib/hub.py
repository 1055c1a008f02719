"""The one place that speaks to a model hub."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "generation_config.json",
    "chat_template.json",
    "chat_template.jinja",
)
"""What a model's folder holds besides weights and configuration, and an export copies; nothing of it is run."""

_WEIGHTS = ["config.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"]
_WEIGHTS += ["adapter_config.json", "adapter_model.safetensors", *PROCESSOR_FILES]


def fetch(model: str, revision: str | None = None) -> Path:
    """Download (or find in the local cache) the weights and configuration of a hub id, and give their folder.

    safetensors are preferred; ``pytorch_model.bin`` is fetched only where there are none.

    Raises:
        FileNotFoundError: ``model`` is neither a path nor a hub id, or the hub has no such model, or it is gated, or it
            cannot be reached and the model is not in the local cache.
    """
    if not _HUB_ID.fullmatch(model):
        raise FileNotFoundError(f"{model}: no such file or folder, and not a hub id of the form owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def download(patterns: list[str]) -> Path:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))

    try:
        folder = download(_WEIGHTS)
        if not any(folder.glob("*.safetensors")):
            folder = download([*_WEIGHTS, "pytorch_model.bin", "adapter_model.bin"])
        return folder
    except GatedRepoError:
        reason = "it is gated: accept its terms on the hub and log in with `hf auth login`"
    except RepositoryNotFoundError:
        reason = "no such folder here, and no such model on the hub (or a private one: log in with `hf auth login`)"
    except RevisionNotFoundError:
        reason = f"the hub has no revision {revision!r} of it"
    except LocalEntryNotFoundError:
        reason = "no such folder here, not in the local hub cache, and the hub cannot be reached"
    except HFValidationError:
        reason = "no such file or folder, and not a hub id of the form owner/name"
    except HfHubHTTPError as error:
        reason = f"the hub refused it ({error})"
    except Exception as error:  # the network's own: requests', httpx' or httpx2', as huggingface_hub's version has it
        reason = f"the download failed, try again ({type(error).__name__}: {error})"
    raise FileNotFoundError(f"{model}: {reason}")
