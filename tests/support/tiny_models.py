"""Cards over the tiny tokenizer and the scripted engine's vectors, in a folder that a test owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from tokenizers import processors

from gateway.cards.registry import Registry
from gateway.cards.schema import (
    CanarySpec,
    Card,
    Model,
    RerankSpec,
    Role,
    TaskSpec,
    TaskTable,
    TokenizerSpec,
    VectorSpec,
)
from gateway.cards.triton_spec import GraphInput, GraphOutput, InputRole, OutputRole, TensorSpec, TritonSpec
from tests.support.scripted_engine import SIZE, vector_of
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, tiny_tokenizer

ADAPTER_TASKS = TaskTable(
    tasks=(
        TaskSpec("retrieval.query", prompt="the cat ", role=Role.QUERY, adapter=0),
        TaskSpec("retrieval.passage", prompt="a mat ", role=Role.DOCUMENT, adapter=1),
        TaskSpec("separation", prompt="", adapter=2),
        TaskSpec("classification", prompt="", adapter=3),
        TaskSpec("text-matching", prompt="", adapter=4),
    ),
    default="retrieval.query",
)

FAMILY_MEMBERS = ("retrieval", "text-matching", "clustering")
FAMILY_TASKS = TaskTable(
    tasks=(
        TaskSpec("retrieval.query", role=Role.QUERY, member="retrieval"),
        TaskSpec("retrieval.passage", role=Role.DOCUMENT, member="retrieval"),
        TaskSpec("text-matching", role=Role.DOCUMENT, member="text-matching"),
        TaskSpec("clustering", role=Role.DOCUMENT, member="clustering"),
    ),
    default="text-matching",
    prompts={Role.QUERY: "the cat ", Role.DOCUMENT: "a mat "},
    aliases={"retrieval": "retrieval.passage"},
)

CANARY_IDS = (CLS, VOCABULARY["the"], VOCABULARY["cat"], SEP)


def tiny_card(folder: Path, name: str = "tiny", *, matryoshka: tuple[int, ...] = (4,)) -> Card:
    """A card whose tokenizer is on disk and whose canary is what `ScriptedEngine` gives."""
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    (own / "tokenizer.json").write_text(tiny_tokenizer().to_str())
    return Card(
        name=name,
        hub_id=f"acme/{name}",
        repository=f"acme/{name}",
        revision="0" * 40,
        licence="MIT",
        released=date(2026, 1, 1),
        summary="For tests.",
        folder=own,
        tokenizer=TokenizerSpec(file="tokenizer.json", max_tokens=12, pad_id=0),
        vectors=VectorSpec(dimensions=SIZE, pooling="mean", matryoshka=matryoshka),
        triton=TritonSpec(
            backend="onnxruntime",
            default_model_filename="model.onnx",
            inputs=(
                GraphInput(TensorSpec("input_ids", "TYPE_INT64", (-1, -1)), InputRole.TOKEN_IDS),
                GraphInput(TensorSpec("attention_mask", "TYPE_INT64", (-1, -1)), InputRole.ATTENTION_MASK),
            ),
            outputs=(GraphOutput(TensorSpec("embedding", "TYPE_FP32", (-1, SIZE)), OutputRole.SENTENCE_EMBEDDING),),
        ),
        files=(),
        canary=CanarySpec(text="the cat", expected=tuple(float(value) for value in vector_of(CANARY_IDS)[:4])),
    )


def adapter_card(folder: Path, name: str = "adapters") -> Card:
    """One Triton model with an adapter a task, in the shape of jina-embeddings-v3."""
    card = tiny_card(folder, name)
    adapter = GraphInput(TensorSpec("task_id", "TYPE_INT64", (1,)), InputRole.ADAPTER)
    hidden = GraphOutput(TensorSpec("hidden", "TYPE_FP32", (-1, -1, SIZE)), OutputRole.TOKEN_EMBEDDINGS)
    triton = replace(card.triton, inputs=(*card.triton.inputs, adapter), outputs=(*card.triton.outputs, hidden))
    return replace(card, triton=triton, tasks=ADAPTER_TASKS, canary=CanarySpec(text="the cat"))


def family_cards(
    folder: Path, name: str = "family", *, members: Sequence[str] = FAMILY_MEMBERS, tasks: TaskTable = FAMILY_TASKS
) -> tuple[Card, ...]:
    """A Triton model a task, in the shape of jina-embeddings-v5-text."""
    cards = [tiny_card(folder, f"{name}-{member}") for member in members]
    return tuple(
        replace(card, tasks=tasks, family=name, member=member, canary=CanarySpec(text="the cat"))
        for card, member in zip(cards, members, strict=True)
    )


def reranker_card(folder: Path, name: str = "reranker") -> Card:
    card = tiny_card(folder, name)
    tokenizer = tiny_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B [SEP]",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    (card.folder / "tokenizer.json").write_text(tokenizer.to_str())
    logit = GraphOutput(TensorSpec("logit", "TYPE_FP32", (-1, 1)), OutputRole.LOGIT)
    return replace(
        card,
        vectors=None,
        reranking=RerankSpec(max_query_tokens=6, overlap_tokens=1),
        triton=replace(card.triton, outputs=(logit,)),
        canary=CanarySpec(text="the cat sat", query="cat"),
    )


def tiny_registry(folder: Path, *names: str) -> Registry:
    return Registry([tiny_model(tiny_card(folder, name)) for name in names or ("tiny",)])


def tiny_model(*cards: Card) -> Model:
    """The public model over a card or a family's."""
    first = cards[0]
    name = first.family or first.name
    return Model(name=name, hub_id=f"acme/{name}", cards=cards)
