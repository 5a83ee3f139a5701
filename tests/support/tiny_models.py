"""Cards over the tiny tokenizer and the scripted engine's vectors, in a folder that a test owns."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from gateway.cards.registry import Registry
from gateway.cards.schema import (
    CanarySpec,
    Card,
    GraphInput,
    GraphOutput,
    InputRole,
    Model,
    OutputRole,
    TensorSpec,
    TokenizerSpec,
    TritonSpec,
    VectorSpec,
)
from tests.support.scripted_engine import SIZE, vector_of
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, tiny_tokenizer

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


def tiny_registry(folder: Path, *names: str) -> Registry:
    return Registry([tiny_model(tiny_card(folder, name)) for name in names or ("tiny",)])


def tiny_model(*cards: Card) -> Model:
    """The public model over a card or a family's."""
    first = cards[0]
    name = first.family or first.name
    return Model(name=name, hub_id=f"acme/{name}", cards=cards)
