"""Files from the model hub, through huggingface_hub's own transfer.

`hf_hub_download` forgets a partial file when the process ends, so the partial file is kept here and handed to the same
library's `http_get` with the size to go on from.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from gateway.artifacts.placing import Content, Expected, place_file
from gateway.artifacts.progress import Progress
from gateway.errors import ArtifactError, ConfigurationError, SourceUnavailable

# A machine without a hub finds that out quickly; the whole of name look-up, connecting and the first answer.
REACH_SECONDS = 4.5

# huggingface_hub raises the errors of its HTTP library, which is httpx in its 1.x and httpx2 in its 2.x. Both call
# their root HTTPError, and HfHubHTTPError derives from the one in use.
TransferError: type[Exception] = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")


@dataclass(frozen=True, slots=True)
class HubAccess:
    """`endpoint` None is the library's default; `token` None is the login stored on this machine, if any."""

    endpoint: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class HubFile:
    repository: str
    revision: str
    path: str


def fetch_from_hub(
    file: HubFile, destination: Path, expected: Expected, *, access: HubAccess, staging: Path, progress: Progress
) -> Content:
    """Download one file to `destination`, going on from what an earlier run left in `staging`.

    Raises `SourceUnavailable` when the hub is away or does not give the file, `ArtifactError` when it gives another
    one than expected.
    """
    _check_endpoint(access)
    staging.mkdir(parents=True, exist_ok=True)
    partial = staging / f"{_fingerprint(file)}.partial"
    with _hub_faults(file, access):
        metadata = _metadata(file, access)
        _transfer(metadata, partial, expected, headers=_headers(file, metadata, access), progress=progress)
    return place_file(partial, destination, expected, origin="the hub")


def _metadata(file: HubFile, access: HubAccess) -> HfFileMetadata:
    """Where the file lies and how large it is, within `REACH_SECONDS`.

    In a thread, because looking up a name cannot be interrupted and may hang far longer than any connect timeout.
    """
    url = _url(file, access)
    answers: list[HfFileMetadata | Exception] = []

    def ask() -> None:
        try:
            answers.append(
                get_hf_file_metadata(url, token=access.token, timeout=REACH_SECONDS, endpoint=access.endpoint)
            )
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            answers.append(error)

    thread = threading.Thread(target=ask, name="hub-metadata", daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    if not answers:
        raise SourceUnavailable(f"The model hub did not answer within {REACH_SECONDS:.1f} s.", remedy=_REACH_REMEDY)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _transfer(
    metadata: HfFileMetadata, partial: Path, expected: Expected, *, headers: dict[str, str], progress: Progress
) -> None:
    size = expected.size_bytes or metadata.size
    done = partial.stat().st_size if partial.exists() else 0
    if size is not None and done > size:
        partial.unlink()
        done = 0
    progress.begin(expected.label, total_bytes=size, done_bytes=done)
    try:
        with partial.open("ab") as file:
            http_get(
                metadata.location,
                file,
                resume_size=done,
                headers=headers,
                expected_size=size,
                displayed_filename=expected.label,
                tqdm_class=_bar(progress),
            )
    finally:
        progress.end()


def _bar(progress: Progress) -> Any:
    """What huggingface_hub uses of a tqdm class; this one draws nothing and passes the counts on."""

    class ForwardingBar:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> ForwardingBar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, byte_count: int) -> None:
            progress.advance(byte_count)

    return ForwardingBar


def _url(file: HubFile, access: HubAccess) -> str:
    return hf_hub_url(file.repository, file.path, revision=file.revision, endpoint=access.endpoint)


def _headers(file: HubFile, metadata: HfFileMetadata, access: HubAccess) -> dict[str, str]:
    """The token goes to the hub alone, never to the storage host that it redirects to."""
    same_host = urlsplit(metadata.location).netloc == urlsplit(_url(file, access)).netloc
    return build_hf_headers(token=access.token if same_host else False)


def _fingerprint(file: HubFile) -> str:
    return hashlib.sha256(f"{file.repository}@{file.revision}/{file.path}".encode()).hexdigest()[:32]


def _check_endpoint(access: HubAccess) -> None:
    if access.endpoint is None:
        return
    try:
        parts = urlsplit(access.endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("HF_ENDPOINT has to be an address such as https://hub.example.com.")


_REACH_REMEDY = "Check the network, proxy and HF_ENDPOINT."


@contextmanager
def _hub_faults(file: HubFile, access: HubAccess) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except ArtifactError:
        raise
    except GatedRepoError as error:
        raise _refused(file, access) from error
    except (EntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError) as error:
        raise _answered_with_error(file, access, error) from error
    except TransferError as error:
        raise SourceUnavailable(
            f"The model hub cannot be reached for {file.path}: {type(error).__name__}.", remedy=_REACH_REMEDY
        ) from error
    except OSError as error:
        if error.errno is not None and error.strerror:
            raise ArtifactError(f"{file.path} cannot be written: {error.strerror}.") from error
        raise SourceUnavailable(f"The model hub did not give {file.path}: {error}.", remedy=_REACH_REMEDY) from error


def _answered_with_error(file: HubFile, access: HubAccess, error: Exception) -> SourceUnavailable:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return _refused(file, access)
    if status == 404:
        message = f"The model hub has no {file.path} in {file.repository} at revision {file.revision}."
        return SourceUnavailable(message, remedy="Check hub_id, revision and hub_path in the model's card.")
    return SourceUnavailable(f"The model hub answered {status} for {file.path}.", remedy=_REACH_REMEDY)


def _refused(file: HubFile, access: HubAccess) -> SourceUnavailable:
    given = "the token in HF_TOKEN has no access" if access.token else "HF_TOKEN is not set"
    return SourceUnavailable(
        f"The model hub does not hand out {file.repository}: it is gated, private or does not exist, and {given}.",
        remedy=f"Accept the conditions on the page of {file.repository}, then set HF_TOKEN to a token with access.",
    )
