"""From a repository and an operator's options to a plan, or to a refusal; cheap questions before large downloads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.artifacts.adding.bert_plan import find_weights, plan_bert
from gateway.artifacts.adding.graph_plan import GraphPlan
from gateway.artifacts.adding.identity import choose_licence
from gateway.artifacts.adding.model_config import ModelConfig, check_kind, read_config
from gateway.artifacts.adding.notes import notes_on
from gateway.artifacts.adding.onnx_files import choose_onnx, no_weights
from gateway.artifacts.adding.onnx_plan import plan_onnx
from gateway.artifacts.adding.plan import AddOptions, Plan
from gateway.artifacts.adding.prompts import PROMPTS_FILE, read_tasks
from gateway.artifacts.adding.published import Document, Fact, Published, joined
from gateway.artifacts.adding.refusal import USE_THEIR_LIBRARY, CannotServe
from gateway.artifacts.adding.stage_config import check_stage_config, read_stage_config
from gateway.artifacts.adding.stages import Stages, read_stages
from gateway.artifacts.adding.tokenizer_checks import check_tokenizer, choose_pad_id, find_tokenizer
from gateway.artifacts.adding.window import TOKENIZER_CONFIG_FILE, choose_window
from gateway.cards.schema import InputRole, TaskTable

Fetch = Callable[[str], Path]
"""Downloads a file of the repository, by its path there, to where it will be served from."""


def derive(published: Published, options: AddOptions, *, name: str, hub_id: str, fetch: Fetch) -> Plan:
    """The plan for a repository; `hub_id` is what callers may call the model beside `name`.

    Raises `CannotServe` where it cannot be served faithfully, and what `fetch` raises.
    """
    sentence = published.document(PROMPTS_FILE) or {}
    stages = read_stages(published)
    folder = stages.folder if stages is not None else ""
    config = read_config(published, folder)
    check_kind(config, sentence)
    stage = read_stage_config(published, folder)
    check_stage_config(stage)
    tokenizer_config = _tokenizer_config(published, folder)
    tokenizer_path = find_tokenizer(published, folder, tokenizer_config)
    tasks = read_tasks(sentence)
    _check_prompts(stages, tasks)
    window = choose_window(options.max_tokens, stage=stage, tokenizer=tokenizer_config, config=config)
    graph = _graph(published, options, stages=stages, config=config, fetch=fetch)
    tokenizer = check_tokenizer(
        fetch(tokenizer_path),
        config=tokenizer_config,
        stage=stage,
        feeds_types=any(one.role is InputRole.TOKEN_TYPE_IDS for one in graph.inputs),
    )
    licence = choose_licence(published, options.licence)
    return Plan(
        name=name,
        hub_id=hub_id,
        repository=published.listing.repository,
        revision=Fact(published.listing.revision, f"{options.revision or 'the main branch'} as of {_today()}"),
        licence=licence,
        released=_released(published),
        tokenizer=tokenizer_path,
        max_tokens=window,
        pad_id=choose_pad_id(tokenizer, config=tokenizer_config, model=config),
        graph=graph,
        matryoshka=_matryoshka(sentence, config, graph),
        tasks=Fact(tasks, PROMPTS_FILE if tasks.tasks else "no prompts are stated"),
        notes=tuple(
            notes_on(
                stages=stages,
                pooling=graph.source.pooling,
                sentence=sentence,
                tokenizer=tokenizer_config,
                licence=licence,
            )
        ),
    )


def _graph(
    published: Published, options: AddOptions, *, stages: Stages | None, config: ModelConfig, fetch: Fetch
) -> GraphPlan:
    folder, pooling = stages.folder if stages is not None else "", options.pooling
    choice = choose_onnx(published, folder, file=options.file, variant=options.variant)
    if choice is not None:
        file = fetch(choice.path.value)
        return plan_onnx(published, choice, file, stages=stages, config=config, pooling=pooling)
    weights = find_weights(published, folder, config)
    if weights is None:
        raise no_weights(published)
    return plan_bert(weights, fetch(weights), stages=stages, config=config, pooling=pooling)


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
