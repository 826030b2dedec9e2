"""The Hugging Face Hub; no other module speaks to it.

huggingface-hub does the transfers, the cache, the locks and the retries, and reads HF_TOKEN, HF_HOME, HF_ENDPOINT and
HF_HUB_OFFLINE. It compares sizes and not contents, so SHA-256 is checked here.
"""

import errno
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irsde_cli.errors import IrsdeError, MachineError, WeightsError
from irsde_cli.storage import digests
from irsde_cli.version import __version__

ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>(?!.*\.\.)\w[\w./-]*))?")
SHA256 = re.compile(r"[0-9a-f]{64}")
LIBRARY = "irsde"
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Fetched:
    """A file in the cache of the Hub's client, whole and checked.

    Attributes:
        path: where it is.
        commit: the state of the repository that it belongs to.
        sha256: of its bytes.
    """

    path: Path
    commit: str
    sha256: str


@dataclass(frozen=True)
class Remote:
    """A file on the Hub: its size in bytes and commit, and whether it is in the cache."""

    size: int
    commit: str
    here: bool


def fetch(repo: str, filename: str, *, revision: str | None = None, sha256: str | None = None) -> Fetched:
    """The file of a repository, from the cache or the Hub.

    Its SHA-256 is compared with `sha256`, or with the one under which the Hub keeps it; what differs is removed and
    fetched once more.

    Raises:
        WeightsError: there is none, it may not be fetched, the Hub cannot be reached, or its content is wrong.
        MachineError: the cache cannot be written.
    """
    for attempt in (1, 2):
        path = _download(repo, filename, revision, force=attempt == 2)
        blob = path.resolve()
        expected = sha256 or (blob.name if SHA256.fullmatch(blob.name) else None)
        found = digests.sha256(path)
        if expected in (None, found):
            return Fetched(path, path.parent.name, found)
        blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    raise WeightsError(
        f"what came as '{filename}' of '{repo}' has the SHA-256 {found}, not {expected}; it was removed.",
        hint="Something between here and the Hub changes files, or the file was replaced; nothing of it was used.",
    )


def look_up(repo: str, filename: str, *, revision: str | None = None) -> Remote:
    """What a fetch would find.

    Raises:
        WeightsError: as `fetch`.
    """
    from huggingface_hub import hf_hub_download

    try:
        info = hf_hub_download(
            repo, filename, revision=revision, dry_run=True, library_name=LIBRARY, library_version=__version__
        )
    except Exception as error:  # see _download
        raise _explained(error, repo, filename, revision) from None
    return Remote(info.file_size or 0, info.commit_hash, info.is_cached)


def publish(repo: str, files: Mapping[str, Path | bytes], *, private: bool, revision: str | None, message: str) -> str:
    """Put files into a repository in one commit, after making it where it is missing; returns the commit's address.

    Raises:
        WeightsError: the Hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    _quiet_unless_watched()
    api = HfApi(library_name=LIBRARY, library_version=__version__)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(repo, operations, commit_message=message, revision=revision)
    except Exception as error:  # see _download
        raise _explained(error, repo, "", revision, writing=True) from None
    return str(commit.commit_url)


def _download(repo: str, filename: str, revision: str | None, *, force: bool) -> Path:
    from huggingface_hub import hf_hub_download

    _quiet_unless_watched()
    try:
        path = hf_hub_download(
            repo,
            filename,
            revision=revision,
            force_download=force,
            library_name=LIBRARY,
            library_version=__version__,
        )
    except Exception as error:
        # The client lets its HTTP library's errors through, and that library is not the same in all its versions.
        raise _explained(error, repo, filename, revision) from None
    return Path(path)


def _quiet_unless_watched() -> None:
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()


def _explained(
    error: Exception, repo: str, filename: str, revision: str | None, *, writing: bool = False
) -> IrsdeError:
    from huggingface_hub import constants, errors

    endpoint = constants.ENDPOINT
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError | ValueError) else None
    error = cause if isinstance(cause, Exception) else error
    status = getattr(getattr(error, "response", None), "status_code", None)
    token = "Set HF_TOKEN to a token that may read it."
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return MachineError(
            f"cannot write to the cache '{constants.HF_HUB_CACHE}': {error.strerror}.",
            hint="Make room, or let HF_HOME name another folder.",
        )
    match error:
        case errors.GatedRepoError():
            return WeightsError(f"'{repo}' is gated.", hint=f"Accept its terms at {endpoint}/{repo}. {token}")
        case errors.RevisionNotFoundError():
            return WeightsError(f"'{repo}' has no revision '{revision}'.")
        case errors.RemoteEntryNotFoundError():
            return WeightsError(f"'{repo}' has no file '{filename}'.", hint="It may not be a repository of irsde's.")
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return WeightsError(
                f"'{filename}' of '{repo}' is not in the cache '{constants.HF_HUB_CACHE}', and HF_HUB_OFFLINE is set.",
                hint=f"Where there is a network, run 'irsde download {repo}'; then copy the folder or unset it.",
            )
        case errors.HFValidationError():
            return WeightsError(f"'{repo}' is no name of a repository.", hint="It is owner/name.")
        case errors.FileMetadataError():
            return WeightsError(
                f"what answers at {endpoint} is not the Hub.", hint="A proxy's page may be in the way; see HF_ENDPOINT."
            )
    if writing and status in (401, 403):
        return WeightsError(f"the Hub lets nobody here write to '{repo}' ({status}).", hint="HF_TOKEN needs 'write'.")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return WeightsError(f"the Hub has no repository '{repo}' that may be read from here ({status}).", hint=token)
    if status == 429:
        return WeightsError("the Hub has had too many requests from here (429).", hint="Wait, or set HF_TOKEN.")
    if status is not None:
        return WeightsError(f"the Hub answers {status} for '{filename or repo}'.", hint="Try again later.")
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    way = "go to" if writing else "come from"
    return WeightsError(
        f"'{filename or repo}' did not {way} {endpoint}: {type(error).__name__}: {reason}.",
        hint="Look at the connection and try again; HF_ENDPOINT names a mirror.",
    )


def as_id(text: str) -> tuple[str, str | None] | None:
    """The repository and the revision of `owner/name` or `owner/name@revision`; `None` for anything else."""
    found = ID.fullmatch(text)
    return (found["repo"], found["revision"]) if found else None


def card(fields: Mapping[str, Any], text: str) -> str:
    """A model card: what the Hub reads, then what people read."""
    from huggingface_hub import ModelCardData

    return f"---\n{ModelCardData(**fields).to_yaml()}\n---\n\n{text}"
