"""Reading `card.toml` into a `Model`, checked so that every fault is found here and names the key to mend."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from gateway.cards import tables
from gateway.cards.checking import check_card, check_model
from gateway.cards.schema import Card, Model
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
    check_model(model, root)
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
    tokenizer = tables.read_tokenizer(root.section("tokenizer"))
    card = Card(
        name=name,
        hub_id=hub_id,
        repository=root.optional_text("repository") or hub_id,
        revision=root.optional_text("revision"),
        licence=root.text("licence"),
        released=root.day("released"),
        summary=root.text("summary"),
        folder=folder,
        tokenizer=tokenizer,
        vectors=tables.read_vectors(root.optional_section("vectors"), max_tokens=tokenizer.max_tokens),
        images=tables.read_images(root.optional_section("images")),
        reranking=tables.read_reranking(root.optional_section("reranking")),
        tasks=tables.read_tasks(root.optional_section("tasks")),
        triton=tables.read_triton(root.section("triton")),
        files=tuple(tables.read_file(section) for section in root.sections("files")),
        canary=tables.read_canary(root.section("canary")),
        batching=tables.read_batching(root.optional_section("batching")),
        precision=tables.read_precision(root.optional_section("precision")),
        wheel=tables.read_wheel(root.optional_section("wheel")),
        graph=tables.read_graph(root.optional_section("graph")),
        family=family,
        member=member,
    )
    root.finish()
    check_card(card, root)
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
