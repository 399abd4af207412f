"""Models by hub id: ``org/name`` or ``org/name@revision`` as a folder on this machine, fetched once.

Only weights as safetensors and configuration are fetched; no code, no pickle.
"""

import re
from functools import cache
from pathlib import Path

from rats_train.errors import UserError

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
# Whole pipelines and their halves in one file, beside the folder of components that diffusers reads.
_UNWANTED = ["*.fp16.*", "*.bf16.*", "flux1-*.safetensors", "sd3*.safetensors", "ae.safetensors"]


def is_hub_id(path: str) -> bool:
    """Whether ``path`` reads as a hub id and names no folder here."""
    return HUB_ID.fullmatch(path) is not None and not Path(path).expanduser().exists()


@cache
def fetch(hub_id: str) -> Path:
    """The snapshot of ``hub_id`` in the local cache of the hub, fetched where it is not there yet.

    Raises:
        UserError: there is no such model or revision, it is gated, or the hub cannot be reached and the cache lacks it.
    """
    # Heavy, and needed by nobody who names a folder.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match = HUB_ID.fullmatch(hub_id)
    assert match is not None
    repo, revision = match["repo"], match["revision"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except GatedRepoError as error:
        raise UserError(
            f"{repo} is gated: accept its licence on the model's page and put a token of that account into the "
            "environment as HF_TOKEN, or name a folder that holds it."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"There is no folder {hub_id} here, and no model {repo} on the hub, or it is private: check the name, and "
            "put HF_TOKEN into the environment if it is private."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{repo} has no revision {revision}: name a commit or a branch of it after the @.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"There is no folder {hub_id} here, and the hub cannot be reached for such a model, which the cache "
            "lacks: name a folder that exists, or run the same command again with a network."
        ) from error
