"""Adding a model: from the name of a repository to a complete, proved model folder, or to a refusal and nothing left.

Nothing appears in the model repository before all of it is there and gives vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from gateway.artifacts.adding.card_text import card_text
from gateway.artifacts.adding.conflicts import check_free, check_same, free_hub_id, known_cards
from gateway.artifacts.adding.deriving import derive
from gateway.artifacts.adding.identity import check_repository, choose_name
from gateway.artifacts.adding.notes import notes_on_batches
from gateway.artifacts.adding.plan import AddOptions, Plan
from gateway.artifacts.adding.published import Published, look_into
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.window import probe_window
from gateway.artifacts.adding.workspace import Workspace, workspace
from gateway.artifacts.lock import write_lock
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.artifacts.verification import note_verified, verify
from gateway.cards.installation import Installation, read_installation
from gateway.cards.loading import CARD_FILE, load_card
from gateway.cards.registry import Registry
from gateway.cards.rendering import CONFIG_FILE, render_config
from gateway.cards.schema import VERSION_FOLDER, Card
from gateway.errors import ArtifactError, ConfigurationError


class State(Enum):
    """PRESENT: it was there already; its files are complete now if they were not. PLANNED: a dry run."""

    ADDED = "added"
    PRESENT = "present"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Addition:
    """`plan` and `text`, the card's, are None where the model was there already; `cards` is empty for a dry run."""

    state: State
    name: str
    cards: tuple[Card, ...] = ()
    plan: Plan | None = None
    text: str | None = None


def add_model(
    repository: str, options: AddOptions, *, models: Path, fetching: Fetching, dry_run: bool = False
) -> Addition:
    """Add the model of a hub repository to the folder `models`; again, make it complete.

    Raises `CannotServe` where its authors' vectors cannot be given, `ConfigurationError` where the operator's wishes
    cannot be met, and `ArtifactError` where files cannot be had. Nothing is left in `models` then.
    """
    check_repository(repository)
    registry = Registry.from_repository(models)
    fetching = replace(fetching, choice=SourceChoice.HUB)
    known = known_cards(registry, repository, options)
    if known:
        return _again(known, repository, options, fetching=fetching, dry_run=dry_run)
    name = choose_name(repository, options.name)
    check_free(registry, name, models / name)
    published = look_into(repository, options.revision, fetching.hub)
    with workspace(name, published.listing, fetching) as work:
        # Another run may have added it while this one waited.
        registry = Registry.from_repository(models)
        known = known_cards(registry, repository, options)
        if known:
            return _again(known, repository, options, fetching=fetching, dry_run=dry_run)
        check_free(registry, name, models / name)
        hub_id = free_hub_id(registry, repository, name)
        try:
            return _new(published, options, work, hub_id=hub_id, target=None if dry_run else models / name)
        except ConfigurationError:
            # Nothing would be different the next time. What was cut off by the network is kept instead.
            work.discard()
            raise


def _new(published: Published, options: AddOptions, work: Workspace, *, hub_id: str, target: Path | None) -> Addition:
    """Make the model in the workspace and put it into `target`, or nowhere in a dry run."""
    name = work.folder.name
    plan = derive(
        published,
        options,
        name=name,
        hub_id=hub_id,
        fetch=lambda path: work.fetch(path, PurePosixPath(path).name),
    )
    text = card_text(plan, work.pins(plan.published))
    if target is None:
        return Addition(State.PLANNED, name, plan=plan, text=text)
    card = _card(work, plan, text)
    try:
        pull(card, work.fetching)
    except ArtifactError:
        if work.has_all(plan.published):
            # It was not the network, so nothing would be different the next time.
            work.discard()
        raise
    _prove(card)
    plan = replace(plan, notes=(*plan.notes, *notes_on_batches(read_installation(card))))
    work.publish(target)
    return Addition(State.ADDED, name, cards=(load_card(target),), plan=plan, text=text)


def _card(work: Workspace, plan: Plan, text: str) -> Card:
    """The card as it is read back, with its config and the lock of what was fetched beside it."""
    work.write(CARD_FILE, text)
    card = load_card(work.folder)
    work.write(CONFIG_FILE, render_config(card))
    work.write(f"{VERSION_FOLDER}/.gitkeep", "")
    write_lock(card, Installation(spare=work.locked, repository=plan.repository, revision=plan.revision.value))
    return card


def _prove(card: Card) -> None:
    faults = verify(card).faults
    if faults:
        raise CannotServe(
            f"The model was made and does not work: {faults[0].check} {faults[0].subject}: {faults[0].detail}",
            remedy="Another file of the repository may do, see --file and --variant.",
        )
    probe_window(card)
    note_verified(card)


def _again(
    known: tuple[Card, ...], repository: str, options: AddOptions, *, fetching: Fetching, dry_run: bool
) -> Addition:
    revision = None
    if options.revision is not None:
        revision = look_into(repository, options.revision, fetching.hub).listing.revision
    check_same(known[0], options, revision=revision)
    if not dry_run:
        for card in known:
            pull(card, replace(fetching, choice=SourceChoice.AUTO))
    name = known[0].name if len(known) == 1 else known[0].family or known[0].name
    return Addition(State.PRESENT, name, cards=known)
