"""From a repository and an operator's options to a plan, or to a refusal; cheap questions before large downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.artifacts.adding.bert_plan import find_weights, plan_bert
from gateway.artifacts.adding.identity import base_models, choose_licence
from gateway.artifacts.adding.model_config import ModelConfig, check_kind, read_config
from gateway.artifacts.adding.notes import notes_on_cutting, notes_on_licence, notes_on_pooling, notes_on_vectors
from gateway.artifacts.adding.onnx_files import choose_onnx, no_weights
from gateway.artifacts.adding.onnx_plan import plan_onnx
from gateway.artifacts.adding.plan import AddOptions, GraphPlan, Plan
from gateway.artifacts.adding.prompts import PROMPTS_FILE, read_tasks
from gateway.artifacts.adding.published import Document, Fact, Published, joined
from gateway.artifacts.adding.refusal import USE_THEIR_LIBRARY, CannotServe
from gateway.artifacts.adding.stage_config import check_stage_config, read_stage_config
from gateway.artifacts.adding.stages import Stages, read_stages
from gateway.artifacts.adding.tokenizer_checks import check_tokenizer, choose_pad_id, find_tokenizer
from gateway.artifacts.adding.window import choose_window
from gateway.artifacts.tokenizer_check import TOKENIZER_CONFIG_FILE
from gateway.cards.schema import TaskTable
from gateway.cards.triton_spec import InputRole

Fetch = Callable[[str], Path]
"""Downloads a file of the repository, by its path there, to where it will be served from."""


@dataclass(frozen=True, slots=True)
class _Small:
    """What the repository's small files say. `sentence` is `config_sentence_transformers.json`, `stage` the transformer
    stage's settings, `tokenizer` those of `tokenizer_config.json`; all are empty where there is no such file."""

    stages: Stages | None
    sentence: Document
    config: ModelConfig
    stage: Fact[Document]
    tokenizer: Fact[Document]
    tokenizer_path: str
    tasks: TaskTable

    @property
    def folder(self) -> str:
        return self.stages.folder if self.stages is not None else ""


def derive(published: Published, options: AddOptions, *, name: str, hub_id: str, fetch: Fetch) -> Plan:
    """The plan for a repository; `hub_id` is what callers may call the model beside `name`.

    Raises `CannotServe` where it cannot be served faithfully, and what `fetch` raises.
    """
    small = _small_files(published)
    window = choose_window(options.max_tokens, stage=small.stage, tokenizer=small.tokenizer, config=small.config)
    graph = _graph(published, options, small, fetch)
    feeds_types = any(one.role is InputRole.TOKEN_TYPE_IDS for one in graph.inputs)
    tokenizer = check_tokenizer(
        fetch(small.tokenizer_path), config=small.tokenizer, stage=small.stage, feeds_types=feeds_types
    )
    plan = Plan(
        name=name,
        hub_id=hub_id,
        repository=published.listing.repository,
        revision=Fact(published.listing.revision, f"{options.revision or 'the main branch'} as of {_today()}"),
        licence=choose_licence(published, options.licence),
        released=_released(published),
        tokenizer=small.tokenizer_path,
        max_tokens=window,
        pad_id=choose_pad_id(tokenizer, config=small.tokenizer, model=small.config),
        graph=graph,
        matryoshka=_matryoshka(small.sentence, small.config, graph),
        tasks=Fact(small.tasks, PROMPTS_FILE if small.tasks.tasks else "no prompts are stated"),
    )
    return replace(plan, notes=tuple(_notes(published, small, plan)))


def _small_files(published: Published) -> _Small:
    """Read and judged before anything large is downloaded."""
    sentence = published.document(PROMPTS_FILE) or {}
    stages = read_stages(published)
    folder = stages.folder if stages is not None else ""
    config = read_config(published, folder)
    check_kind(config, sentence)
    stage = read_stage_config(published, folder)
    check_stage_config(stage)
    tokenizer = _tokenizer_config(published, folder)
    tasks = read_tasks(sentence)
    _check_prompts(stages, tasks)
    path = find_tokenizer(published, folder, tokenizer)
    return _Small(stages, sentence, config, stage, tokenizer, tokenizer_path=path, tasks=tasks)


def _graph(published: Published, options: AddOptions, small: _Small, fetch: Fetch) -> GraphPlan:
    stages, config, pooling = small.stages, small.config, options.pooling
    choice = choose_onnx(published, small.folder, file=options.file, variant=options.variant)
    if choice is not None:
        file = fetch(choice.path.value)
        return plan_onnx(published, choice, file, stages=stages, config=config, pooling=pooling)
    weights = find_weights(published, small.folder, config)
    if weights is None:
        raise no_weights(published)
    return plan_bert(weights, fetch(weights), stages=stages, config=config, pooling=pooling)


def _notes(published: Published, small: _Small, plan: Plan) -> Iterator[str]:
    yield from notes_on_pooling(
        plan.graph.source.pooling, has_stages=small.stages is not None, made_from=base_models(published)
    )
    yield from notes_on_vectors(small.sentence, normalizes=small.stages is None or small.stages.normalizes)
    yield from notes_on_cutting(small.tokenizer)
    yield from notes_on_licence(plan.licence.value)


def _tokenizer_config(published: Published, folder: str) -> Fact[Document]:
    path = joined(folder, TOKENIZER_CONFIG_FILE)
    return Fact(published.document(path) or {}, path)


def _check_prompts(stages: Stages | None, tasks: TaskTable) -> None:
    """An operator may state a pooling over all tokens for a model that leaves prompts out, but not with prompts."""
    pooling = stages.pooling if stages is not None else None
    if pooling is not None and not pooling.value.include_prompt and any(task.prompt for task in tasks.tasks):
        raise CannotServe(
            f"{pooling.source} leaves the tokens of the prompt out of the pooling (include_prompt is false), which is "
            f"not done here, and {PROMPTS_FILE} has prompts: with them the vectors would be others than the authors'.",
            remedy=USE_THEIR_LIBRARY,
        )


def _matryoshka(sentence: Document, config: ModelConfig, graph: GraphPlan) -> Fact[tuple[int, ...]]:
    size, cut = graph.source.dimensions.value, sentence.get("truncate_dim")
    if config.matryoshka:
        return Fact(tuple(one for one in config.matryoshka if one <= size), config.path)
    if isinstance(cut, int) and 1 <= cut < size:
        return Fact((cut, size), PROMPTS_FILE)
    return Fact((), "")


def _released(published: Published) -> Fact[date]:
    if published.listing.created is not None:
        return Fact(published.listing.created, "the day the repository was made")
    return Fact(_today(), "the day of adding; the hub does not say")


def _today() -> date:
    return datetime.now(UTC).date()
