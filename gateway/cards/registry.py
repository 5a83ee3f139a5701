"""Every model this installation knows, found by any of its names. A task may ride on the name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import maxsize

from gateway.cards.close_names import did_you_mean
from gateway.cards.loading import CARD_FILE, load_model
from gateway.cards.schema import Card, Model
from gateway.cards.tasks import is_side_word, is_task_word
from gateway.errors import ConfigurationError, UnknownModel


@dataclass(frozen=True, slots=True)
class Named:
    """What a name stands for.

    `models` are those that answer to it; more than one for a name that models share, of which the first that is served
    and has the task takes it. The one whose own name it is comes first, the others follow in the order of their names.
    `task` is the task that rode on the name, `default` the one that this name stands for where the request names none.
    """

    models: tuple[Model, ...]
    task: str | None = None
    default: str | None = None


# What clients of Ollama put behind a name that has no tag of its own.
_LATEST = ":latest"
# Room behind the longest name for any word for a task. A caller may send megabytes, each place of which would be looked
# at, and names that were found are remembered.
_LONGEST_WORD = 64


class Registry:
    """The models and their cards, sorted by name. A name is the public name, the hub id or an alias, in any case."""

    def __init__(self, models: Iterable[Model], *, aliases: Mapping[str, str] | None = None) -> None:
        """`aliases` are the operator's own names, each for any name of a model, with a task on it or without.

        Raises `ConfigurationError` when two models claim the same name, and for an alias that is a model's name already
        or stands for none.
        """
        self.models: tuple[Model, ...] = tuple(sorted(models, key=lambda model: model.name.lower()))
        self.cards: tuple[Card, ...] = tuple(card for model in self.models for card in model.cards)
        self._by_name: dict[str, Model] = {}
        for model in self.models:
            for name in (*model.names, *(card.name for card in model.cards), *(card.hub_id for card in model.cards)):
                other = self._by_name.setdefault(name.lower(), model)
                if other is not model:
                    raise ConfigurationError(f"The models {other.name} and {model.name} both answer to {name!r}.")
        self._by_alias: dict[str, Named] = {}
        self._longest_name = maxsize  # until the aliases are known, which are found by the other names
        self.aliases: Mapping[str, Named] = {alias: self._named(alias, name) for alias, name in (aliases or {}).items()}
        self._by_alias = {alias.lower(): named for alias, named in self.aliases.items()}
        shared = (name for model in self.models for name in model.shared_aliases)
        self._longest_name = max(map(len, (*self._by_name, *self._by_alias, *shared)), default=0)

    def _named(self, alias: str, name: str) -> Named:
        remedy = "Write it as GATEWAY_MODEL_ALIASES=ALIAS=MODEL, several separated by commas, then start again."
        if self._exact(_untagged(alias)) is not None:
            raise ConfigurationError(f"The alias {alias!r} is the name of a model already.", remedy=remedy)
        try:
            return self.find(name)
        except UnknownModel as error:
            raise ConfigurationError(
                f"The alias {alias!r} stands for nothing. {error.message}", remedy=remedy
            ) from None

    @classmethod
    def from_repository(cls, path: Path, *, aliases: Mapping[str, str] | None = None) -> Registry:
        """The models of every folder in a model repository; folders without a card are not ours and stay unread.

        Raises `ConfigurationError` when the folder is missing or a card is wrong.
        """
        if not path.is_dir():
            raise ConfigurationError(
                f"The model repository {path} does not exist.",
                remedy="Start in the project's folder, or set GATEWAY_MODEL_REPOSITORY to the folder of model folders.",
            )
        folders = (folder for folder in sorted(path.iterdir()) if (folder / CARD_FILE).is_file())
        return cls(map(load_model, folders), aliases=aliases)

    def find(self, name: str) -> Named:
        """What `name` stands for, with or without Ollama's `:latest`. Raises `UnknownModel` naming the models that
        exist."""
        found = self._found(name) if len(name) <= self._longest_name + _LONGEST_WORD else None
        if found is None:
            known = ", ".join(model.name for model in self.models) or "none"
            meant = did_you_mean(name, self.models)
            raise UnknownModel(f"The model {name[:200]!r} does not exist.{meant} Known models: {known}.")
        return found

    def _found(self, name: str) -> Named | None:
        """An operator's own name may have the tag itself, and is found without it too."""
        plain = _untagged(name)
        forms = (name, plain, plain + _LATEST)
        return next(filter(None, map(self._exact, forms)), None) or next(self._with_task(plain), None)

    def cards_of(self, name: str) -> tuple[Card, ...]:
        """The cards that an operator means by `name`: one where it is a card's own, else all of the model's.

        Raises `UnknownModel` as `find` does.
        """
        own = tuple(card for card in self.cards if name.lower() in (card.name.lower(), card.hub_id.lower()))
        return own or self.find(name).models[0].cards

    def _exact(self, name: str) -> Named | None:
        alias = self._by_alias.get(name.lower())
        if alias is not None:
            return alias
        owner = self._by_name.get(name.lower())
        shared = [
            (model, task)
            for model in self.models
            for alias, task in model.shared_aliases.items()
            if alias.lower() == name.lower() and model is not owner
        ]
        others = tuple(model for model, _ in shared)
        if owner is not None:
            return Named((owner, *others), default=_member_task(owner, name))
        return Named(others, default=shared[0][1]) if shared else None

    def _with_task(self, name: str) -> Iterator[Named]:
        """Readings of `name` as a model's name and a task, parted by a colon or a dash; longer model names first."""
        for place in sorted((place for place, letter in enumerate(name) if letter in ":-"), reverse=True):
            base, word = self._exact(name[:place]), name[place + 1 :]
            if base is None:
                continue
            if is_task_word(base.models[0].card.tasks, word):
                yield Named(base.models, task=word, default=base.default)
            elif name[:place].lower() in self._by_alias and is_side_word(word):
                # Whoever writes `text-embedding-3-small-query` need not know whether that model tells the sides apart.
                yield base


def _untagged(name: str) -> str:
    return name[: -len(_LATEST)] if name.lower().endswith(_LATEST) else name


def _member_task(model: Model, name: str) -> str | None:
    """The task that a member's own name stands for: the first that it computes; None for the public name."""
    if name.lower() in (known.lower() for known in model.names):
        return None
    member = next(
        (card.member for card in model.cards if name.lower() in (card.name.lower(), card.hub_id.lower())), None
    )
    return None if member is None else _task_of_member(model, member)


def _task_of_member(model: Model, member: str) -> str | None:
    aliases = model.card.tasks.aliases
    if member in aliases:
        return aliases[member]
    return next((task.name for task in model.card.tasks.tasks if task.member == member), None)
