"""What a transformer's `config.json` says that serving depends on, under the names that different architectures use."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.artifacts.adding.published import Document, Published, joined
from gateway.artifacts.adding.refusal import USE_THEIR_LIBRARY, CannotServe

CONFIG_FILE = "config.json"
RERANKER = "jina-reranker-v2-base-multilingual"

# Architectures with a table of position vectors: beyond its end there is nothing, so it bounds every window. The number
# is how many of its first rows are never used (fairseq counted positions from its padding id on).
_POSITION_TABLES = {
    "bert": 0,
    "distilbert": 0,
    "albert": 0,
    "electra": 0,
    "ernie": 0,
    "mobilebert": 0,
    "roberta": 2,
    "xlm-roberta": 2,
    "xlm-roberta-xl": 2,
    "camembert": 2,
    "mpnet": 2,
    "longformer": 2,
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """`path` is the file; all else is None or empty where it does not say. `hidden_size` is that of a token vector."""

    path: str
    document: Document
    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    hidden_size: int | None = None
    max_positions: int | None = None
    vocab_size: int | None = None
    pad_token_id: int | None = None
    matryoshka: tuple[int, ...] = ()

    @property
    def position_offset(self) -> int:
        """The position that the first token has in this architecture."""
        return _POSITION_TABLES.get(self.model_type or "", 0)

    @property
    def position_limit(self) -> int | None:
        """The most tokens that its position table has vectors for; None where there is none, or it is not known."""
        absolute = self.document.get("position_embedding_type", "absolute") == "absolute"
        if self.model_type not in _POSITION_TABLES or self.max_positions is None or not absolute:
            return None
        return self.max_positions - self.position_offset

    @property
    def is_causal(self) -> bool:
        """Whether it was made to continue texts, as sentence-transformers decides it."""
        first = next(iter(self.architectures), "")
        return first.endswith("ForCausalLM") and self.document.get("is_causal", True) is not False


def read_config(published: Published, folder: str) -> ModelConfig:
    """The `config.json` beside the transformer's weights; one without content where it is missing."""
    path = joined(folder, CONFIG_FILE)
    document = published.document(path) or {}
    text = document.get("text_config")
    merged: Document = {**document, **text} if isinstance(text, dict) else document
    model_type = document.get("model_type")
    architectures = document.get("architectures")
    return ModelConfig(
        path=path,
        document=document,
        model_type=model_type if isinstance(model_type, str) else None,
        architectures=tuple(map(str, architectures)) if isinstance(architectures, list) else (),
        hidden_size=_count(merged, "hidden_size", "dim", "d_model", "n_embd"),
        max_positions=_count(merged, "max_position_embeddings", "n_positions", "max_seq_len"),
        vocab_size=_count(merged, "vocab_size"),
        pad_token_id=_id(merged, "pad_token_id"),
        matryoshka=_sizes(document.get("matryoshka_dimensions")),
    )


def check_kind(config: ModelConfig, sentence_config: Document) -> None:
    """Raises `CannotServe` for a model that gives something else than one vector a text.

    `sentence_config` is `config_sentence_transformers.json`, empty where there is none.
    """
    kind = sentence_config.get("model_type", "SentenceTransformer")
    classifies = any(name.endswith("ForSequenceClassification") for name in config.architectures)
    if classifies or kind == "CrossEncoder":
        raise CannotServe(
            "This is a cross-encoder: it scores pairs of texts and has no vector for one.",
            remedy=f"For reranking, gateway models pull {RERANKER} and ask /v1/rerank. Another reranker needs a card "
            "written by hand, on the pattern of that one's.",
        )
    if kind != "SentenceTransformer":
        raise CannotServe(
            f"This is a model of the kind {kind}: it does not give one dense vector a text.", remedy=USE_THEIR_LIBRARY
        )


def _count(document: Document, *names: str) -> int | None:
    for name in names:
        value = document.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _id(document: Document, name: str) -> int | None:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sizes(value: object) -> tuple[int, ...]:
    """Rising; empty for anything but a list of whole numbers."""
    if not isinstance(value, list) or not all(type(size) is int and size > 0 for size in value):
        return ()
    return tuple(sorted(set(value)))
