"""What every question to the model hub shares: where it is, how long it may take, and what its refusals mean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from gateway.errors import ArtifactError, ConfigurationError, SourceUnavailable

# A machine without a hub finds that out quickly; the whole of name look-up, connecting and the first answer.
REACH_SECONDS = 4.5

# huggingface_hub raises the errors of its HTTP library, which is httpx in its 1.x and httpx2 in its 2.x. Both call
# their root HTTPError, and HfHubHTTPError derives from the one in use.
TransferError: type[Exception] = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")

_CARD_REMEDY = "Check repository, revision and hub_path in the model's card."
_NAME_REMEDY = "Check the name, OWNER/NAME as on the model's page there, and the revision."
_REACH_REMEDY = "Check the network, proxy and HF_ENDPOINT."

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HubAccess:
    """`endpoint` None is the library's default; `token` None is the login stored on this machine, if any."""

    endpoint: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository. `revision` is a commit, a branch or a tag."""

    repository: str
    revision: str
    path: str


class NotOnHub(SourceUnavailable):
    """The hub answered, and it has no such file."""

    code = "not_on_hub"


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """The answer to `ask`. Raises `SourceUnavailable` when it takes longer than `seconds`, else what `ask` raises.

    In a thread, because looking up a name cannot be interrupted and may hang far longer than any connect timeout.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            errors.append(error)

    thread = threading.Thread(target=run, name="hub-question", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise SourceUnavailable(f"The model hub did not answer within {seconds:.1f} s.", remedy=_REACH_REMEDY)
    return answers[0]


def check_endpoint(access: HubAccess) -> None:
    """Raises `ConfigurationError` for an endpoint that is no address."""
    if access.endpoint is None:
        return
    try:
        parts = urlsplit(access.endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("HF_ENDPOINT has to be an address such as https://hub.example.com.")


@contextmanager
def hub_faults(file: HubFile, access: HubAccess) -> Iterator[None]:
    """Turn the library's errors into ours. `file.path` may be empty where the question is about the repository."""
    what = file.path or f"the files of {file.repository}"
    try:
        yield
    except ArtifactError:
        raise
    except OfflineModeIsEnabled as error:
        raise SourceUnavailable(
            f"HF_HUB_OFFLINE is set, so the model hub is not asked for {what}.",
            remedy="Unset HF_HUB_OFFLINE, or copy the files from a machine that has them.",
        ) from error
    except GatedRepoError as error:
        raise _refused(file, access) from error
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError, HfHubHTTPError) as error:
        raise _answered_with_error(file, access, error, what=what) from error
    except TransferError as error:
        raise SourceUnavailable(
            f"The model hub cannot be reached for {what}: {type(error).__name__}.", remedy=_REACH_REMEDY
        ) from error
    except OSError as error:
        if error.errno is not None and error.strerror:
            raise ArtifactError(f"{what} cannot be written: {error.strerror}.") from error
        raise SourceUnavailable(f"The model hub did not give {what}: {error}.", remedy=_REACH_REMEDY) from error
    except Exception as error:
        # An answer that is none may raise anything: no JSON, an address that is none, more digits than a number has.
        raise SourceUnavailable(
            f"The model hub's answer for {what} cannot be understood: {type(error).__name__}.", remedy=_REACH_REMEDY
        ) from error


def _answered_with_error(file: HubFile, access: HubAccess, error: Exception, *, what: str) -> SourceUnavailable:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return _refused(file, access)
    if status == 404:
        wanted = f"{file.path} in {file.repository}" if file.path else file.repository
        message = f"The model hub has no {wanted} at revision {file.revision}."
        return NotOnHub(message, remedy=_CARD_REMEDY if file.path else _NAME_REMEDY)
    return SourceUnavailable(f"The model hub answered {status} for {what}.", remedy=_REACH_REMEDY)


def _refused(file: HubFile, access: HubAccess) -> SourceUnavailable:
    given = "the token in HF_TOKEN has no access" if access.token else "HF_TOKEN is not set"
    page = f"{(access.endpoint or constants.ENDPOINT).rstrip('/')}/{file.repository}"
    return SourceUnavailable(
        f"The model hub does not hand out {file.repository}: it is gated, private or does not exist, and {given}.",
        remedy=f"Accept the licence on its page, {page}, then set HF_TOKEN to a token with access.",
    )
