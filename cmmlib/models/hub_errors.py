"""What can go wrong between here and a hub, in words that say what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator


@contextlib.contextmanager
def explained(repo: str, revision: str | None, kind: str) -> Iterator[None]:
    """Turn what huggingface_hub and the network raise in the block into a FileNotFoundError that names the repository.

    A full disk stays an OSError with the errno ENOSPC.
    """
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
