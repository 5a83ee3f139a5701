"""The models served now, by all their names. Which those are follows Triton: a model loaded later needs no restart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.cards.close_names import did_you_mean
from gateway.cards.installation import digest_of
from gateway.cards.listing import ModelListing
from gateway.cards.registry import Named, Registry
from gateway.cards.schema import Card, Model, ModelKind
from gateway.cards.tasks import TaskChoice, UnknownTask, find_task
from gateway.errors import EngineUnavailable, InvalidField, UnknownModel
from gateway.service.public_model import OnMissing, PublicModel, ServedModel, loaded_tasks
from gateway.types import Precision

# Names under which requests found a model and that are remembered; looking one up anew takes some microseconds.
_REMEMBERED_NAMES = 256

_PATHS = {ModelKind.EMBEDDING: "POST /v1/embeddings", ModelKind.RERANKER: "POST /v1/rerank"}


@dataclass(frozen=True, slots=True)
class _Answering:
    """Who answers to a name: `first` by its card, served or not, and those `served` now, in the same order."""

    first: PublicModel
    served: tuple[PublicModel, ...]

    def for_words(self, *, task: str | None, side: str | None) -> PublicModel:
        """Of the served models, of which there has to be one, the first that has the task that these words stand for
        with `first`, the one whose own name it is where there is such a one; else the first that knows the words."""
        if len(self.served) == 1:
            return self.served[0]
        wanted = _chosen(self.first, task=task, side=side)
        if wanted is not None and wanted.task is not None:
            for model in self.served:
                if find_task(model.card.tasks, wanted.task.name) is not None:
                    return model
        return next((one for one in self.served if _chosen(one, task=task, side=side)), self.served[0])


def _chosen(model: PublicModel, *, task: str | None, side: str | None) -> TaskChoice | None:
    """What a request's words stand for with this model; None where it does not know them."""
    try:
        return model.choose_task(task=task, side=side)
    except UnknownTask:
        return None


class ServedModels:
    """The models that Triton has shown ready at least once and that this gateway is allowed to serve.

    A model stays served while its Triton is away: its requests are then answered 503, not 404. It leaves when Triton
    answers and says that it was unloaded. A family is served when any of its members is.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        default_model: str | None,
        default_reranker: str | None = None,
        default_tasks: Mapping[str, str] | None = None,
        max_model_tokens: int | None = None,
        on_missing: OnMissing = lambda _: None,
    ) -> None:
        """The default models are any names of models, for requests that name none; `default_tasks` are tasks by the
        models' public names, for requests that name none. `max_model_tokens` caps every model's window."""
        self._registry = registry
        self._defaults = {ModelKind.EMBEDDING: default_model, ModelKind.RERANKER: default_reranker}
        self._default_tasks = default_tasks or {}
        self._max_model_tokens = max_model_tokens
        self._on_missing = on_missing
        self._served: dict[str, ServedModel] = {}
        self._found: dict[tuple[str | None, bool], _Answering] = {}

    def list(self) -> Sequence[ModelListing]:
        """The served models, by name."""
        return [self._listing(model) for model in self._served_models()]

    def resolve(self, name: str | None) -> ModelListing:
        """The served model that answers to any of its names, in any case; None means the default embedding model. Of
        several that share a name the one that `find` gives for a request without words for its task.

        Raises `UnknownModel` or, where a name is missing and none can be assumed, `InvalidField`. Nobody is told of a
        model that is missing: to look at one is not to need it.
        """
        answering = self._answering(name or self._default(ModelKind.EMBEDDING))
        if not answering.served:
            raise self._not_served(answering.first.model)
        return self._listing(answering.for_words(task=None, side=None).model)

    def find(
        self,
        name: str | None,
        kind: ModelKind = ModelKind.EMBEDDING,
        *,
        task: str | None = None,
        side: str | None = None,
        preferred: str | None = None,
    ) -> PublicModel:
        """As `resolve`, with what the model needs to answer; None means the default model of that kind.

        `task` and `side` are a request's words; they say which of the models takes it that share a name, and what is
        needed of a model that is not served. `preferred` is a task that stands in for `task` where the model has it and
        its name brought none along. Raises also `InvalidField` for a model of the other kind, naming the path that is
        for it.
        """
        key = name, kind is ModelKind.EMBEDDING  # an enum's own hash costs as much as all else here
        answering = self._found.get(key)
        if answering is None:
            answering = self._answering(name or self._default(kind), kind=kind)
            if answering.served:
                if len(self._found) >= _REMEMBERED_NAMES:
                    self._found.clear()
                self._found[key] = answering
        if len(answering.served) == 1:
            return answering.served[0]
        needed = task or (answering.first.preferred_task(preferred) if preferred is not None else None)
        if answering.served:
            return answering.for_words(task=needed, side=side)
        card = answering.first.model.card_for(answering.first.choose_task(task=needed, side=side).task)
        raise self._on_missing(card) or self._not_served(answering.first.model, kind)

    def all(self) -> Mapping[str, ServedModel]:
        """The served Triton models by name."""
        return self._served

    def sibling_of(self, card: Card) -> ServedModel | None:
        """A served member of the same family, or the card's own model where it is served."""
        return next(
            (one for one in self._served.values() if card.name == one.card.name or _are_siblings(card, one.card)), None
        )

    def put(self, model: ServedModel) -> None:
        self._served[model.card.name] = model
        self._found.clear()

    def remove(self, name: str) -> ServedModel | None:
        """Takes a Triton model out, by its name."""
        self._found.clear()
        return self._served.pop(name, None)

    def _answering(self, name: str, *, kind: ModelKind | None = None) -> _Answering:
        """`kind` None means any. Raises `UnknownModel`, and `InvalidField` where all are of the other kind."""
        try:
            named = self._registry.find(name)
        except UnknownModel:
            meant = did_you_mean(name, (model for model in self._registry.models if kind in (None, model.card.kind)))
            raise UnknownModel(f"The model {name[:200]!r} does not exist.{meant} {self._describe(kind)}") from None
        fitting = [self._public(model, named) for model in named.models if kind in (None, model.card.kind)]
        if not fitting:
            raise _wrong_kind(named.models[0])
        return _Answering(fitting[0], tuple(model for model in fitting if model.members))

    def _public(self, model: Model, named: Named) -> PublicModel:
        """Without members where the model is not served."""
        return PublicModel(
            model,
            self._members(model),
            named.task,
            named.default,
            self._on_missing,
            self._default_tasks.get(model.name),
        )

    def _members(self, model: Model) -> dict[str, ServedModel]:
        return {card.name: self._served[card.name] for card in model.cards if card.name in self._served}

    def _served_models(self, kind: ModelKind | None = None) -> Sequence[Model]:
        return [
            model
            for model in self._registry.models
            if kind in (None, model.card.kind) and any(card.name in self._served for card in model.cards)
        ]

    def _listing(self, model: Model) -> ModelListing:
        members = self._members(model)
        installed = [member.installation for member in members.values()]
        return ModelListing(
            model,
            tasks=loaded_tasks(model, members),
            variant=next((one.variant for one in installed if one.variant is not None), None),
            batch_invariant=all(one.batch_invariant for one in installed),
            precision=_common_precision([member.precision for member in members.values()]),
            configured_task=self._default_tasks.get(model.name),
            configured_max_tokens=self._max_model_tokens,
            configured_aliases=self._aliases_of(model),
            size_bytes=sum(one.size_bytes for one in installed),
            digest=digest_of(installed),
            installed_at=max((one.verified_at for one in installed if one.verified_at is not None), default=None),
        )

    def _aliases_of(self, model: Model) -> dict[str, str | None]:
        """The operator's names that this model answers to, of several that share one the first that is served."""
        found: dict[str, str | None] = {}
        for alias, named in self._registry.aliases.items():
            owner = next((one for one in named.models if self._members(one)), None)
            if owner is not None and owner.name == model.name:
                found[alias] = named.task or named.default
        return found

    def _default(self, kind: ModelKind) -> str:
        """The name that stands in where a request names no model."""
        configured = self._defaults[kind]
        if configured is not None:
            return configured
        served = self._served_models(kind)
        if len(served) == 1:
            return served[0].name
        if not self._served:
            raise EngineUnavailable("No model is served yet.", code="no_model_served")
        if not served:
            raise UnknownModel(self._describe(kind))
        raise InvalidField(f"Please name a model. {self._describe(kind)}", param="model", code="model_required")

    def _not_served(self, model: Model, kind: ModelKind | None = None) -> UnknownModel | EngineUnavailable:
        if not self._served:
            # Triton has not been seen yet, so it cannot be said that the model is not there.
            return EngineUnavailable(
                f"The model {model.name!r} is not served yet; Triton is starting or away, or its files are missing: "
                f"gateway models pull {model.name}",
                code="no_model_served",
            )
        torch = "" if model.card.triton.has_graph else "torch is not (`scripts/install_torch.sh`), "
        return UnknownModel(
            f"The model {model.name!r} is known but not loaded. Either it is not installed (`gateway models pull "
            f"{model.name}`, then start again), {torch}or the gateway was told to serve others (`--model`, "
            f"GATEWAY_MODELS). {self._describe(kind)}"
        )

    def _describe(self, kind: ModelKind | None) -> str:
        served = [model.name for model in self._served_models(kind)]
        known = [
            model.name
            for model in self._registry.models
            if kind in (None, model.card.kind) and model.name not in served
        ]
        loaded = f"Served: {', '.join(served)}." if served else f"No {_WORDS.get(kind, 'model')} is served."
        if not known:
            return loaded
        return f"{loaded} Known, but not loaded: {', '.join(known)} (`gateway models pull NAME` installs one)."


def _common_precision(precisions: Collection[Precision]) -> Precision:
    """A family's is fast where any member is: whoever wants exact vectors has to know."""
    return Precision.FAST if Precision.FAST in precisions else Precision.EXACT


_WORDS: dict[ModelKind | None, str] = {ModelKind.EMBEDDING: "embedding model", ModelKind.RERANKER: "reranker"}


def _wrong_kind(model: Model) -> InvalidField:
    kind = model.card.kind
    gives = {ModelKind.EMBEDDING: "gives embeddings", ModelKind.RERANKER: "is a reranker"}[kind]
    return InvalidField(
        f"The model {model.name} {gives}. Please send this to {_PATHS[kind]}, or name another model.",
        param="model",
        code="wrong_model_kind",
    )


def _are_siblings(one: Card, other: Card) -> bool:
    return one.family is not None and one.family == other.family
