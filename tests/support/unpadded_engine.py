"""A model that takes rows unpadded, in NumPy, behind a scripted engine: the wire format read by other code than wrote
it, and values from which a row lost, swapped, cut elsewhere or given another's pixels or adapter is seen."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from gateway.cards.schema import BatchSpec, CanarySpec, Card, ImageSpec, Role, TaskSpec, TaskTable
from gateway.cards.triton_spec import GraphInput, GraphOutput, InputRole, OutputRole, TensorSpec
from gateway.errors import InferenceFailed
from gateway.triton.engine import InferCall, Tensor
from tests.support.scripted_engine import SIZE, ScriptedEngine
from tests.support.tiny_models import tiny_card
from tests.support.tiny_tokenizer import WORDS

TOKEN_SIZE = 4
IMAGES = ImageSpec(prompt="[START][IMG][END]the cat", pad_token="[IMG]", unit_pixels=2, min_pixels=16, max_pixels=256)
SPECIALS = ("[PAD]", "[UNK]", "[START]", "[IMG]", "[END]")
IDS = {word: place for place, word in enumerate((*SPECIALS, *WORDS))}
TASKS = TaskTable(
    tasks=(
        TaskSpec("retrieval.query", prompt="the ", role=Role.QUERY, adapter=0),
        TaskSpec("retrieval.passage", prompt="a ", role=Role.DOCUMENT, adapter=0),
        TaskSpec("text-matching", prompt="the ", adapter=1),
        TaskSpec("code.query", prompt="the ", role=Role.QUERY, adapter=2),
        TaskSpec("code.passage", prompt="a ", role=Role.DOCUMENT, adapter=2),
    ),
    default="retrieval.passage",
)


def unpadded_tokenizer() -> Tokenizer:
    """No special tokens around a text, as in jina-embeddings-v4."""
    tokenizer = Tokenizer(models.WordPiece(IDS, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIALS])
    return tokenizer


def unpadded_card(folder: Path, name: str = "unpadded", *, images: ImageSpec | None = IMAGES) -> Card:
    """In the shape of jina-embeddings-v4."""
    card = tiny_card(folder, name)
    (card.folder / "tokenizer.json").write_text(unpadded_tokenizer().to_str())
    inputs = (
        ("token_ids", "TYPE_INT32", (-1,), InputRole.TOKEN_IDS, False),
        ("row_lengths", "TYPE_INT32", (-1,), InputRole.ROW_LENGTHS, False),
        ("row_adapters", "TYPE_INT32", (-1,), InputRole.ROW_ADAPTERS, False),
        ("pixels", "TYPE_UINT8", (-1,), InputRole.PIXELS, True),
        ("image_sizes", "TYPE_INT32", (-1, 2), InputRole.IMAGE_SIZES, True),
        ("spans", "TYPE_INT32", (-1, 2), InputRole.SPANS, True),
        ("span_counts", "TYPE_INT32", (-1,), InputRole.SPAN_COUNTS, True),
    )
    outputs = (
        ("embeddings", "TYPE_FP32", (-1, SIZE), OutputRole.SENTENCE_EMBEDDING),
        ("span_sums", "TYPE_FP32", (-1, SIZE), OutputRole.SPAN_SUMS),
        ("token_vectors", "TYPE_FP32", (-1, TOKEN_SIZE), OutputRole.TOKEN_VECTORS),
        ("row_status", "TYPE_INT32", (-1,), OutputRole.ROW_STATUS),
    )
    triton = replace(
        card.triton,
        backend="python",
        inputs=tuple(GraphInput(TensorSpec(n, t, d, optional=o), role) for n, t, d, role, o in inputs),
        outputs=tuple(GraphOutput(TensorSpec(n, t, d), role) for n, t, d, role in outputs),
    )
    return replace(
        card,
        triton=triton,
        tokenizer=replace(card.tokenizer, max_tokens=40),
        vectors=replace(card.embedding, token_dimensions=TOKEN_SIZE, overlap_tokens=8),
        images=images,
        tasks=TASKS,
        canary=CanarySpec(text="the cat"),
        batching=BatchSpec(max_batch_tokens=256, long_row_tokens=256),
    )


def hidden_of(ids: Sequence[int], adapter: int, pixels: np.ndarray | None = None) -> np.ndarray:
    """float32 [tokens, size]: token n depends on all before it, on the adapter and on the image."""
    image = [] if pixels is None else [zlib.crc32(np.ascontiguousarray(pixels).tobytes()), *pixels.shape]
    given = [int(one) for one in ids]
    seeds = [[adapter, *image, *given[: end + 1]] for end in range(len(given))]
    drawn = [np.random.default_rng(np.random.SeedSequence(seed)).normal(size=SIZE) for seed in seeds]
    return np.stack(drawn).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=-1, keepdims=True)).astype(np.float32)


def vector_of(ids: Sequence[int], adapter: int, pixels: np.ndarray | None = None) -> np.ndarray:
    return unit(hidden_of(ids, adapter, pixels).mean(axis=0, dtype=np.float64))


def token_vectors_of(ids: Sequence[int], adapter: int, pixels: np.ndarray | None = None) -> np.ndarray:
    return unit(hidden_of(ids, adapter, pixels)[:, :TOKEN_SIZE])


@dataclass
class UnpaddedEngine(ScriptedEngine):
    """Change its fields while it runs. Rows of `out_of_memory_tokens` and more do not fit into memory; a row that holds
    the id `spoilt_id` gives NaN."""

    out_of_memory_tokens: int = 1 << 30
    spoilt_id: int | None = None
    wrong_outputs: Mapping[str, Tensor] = field(default_factory=dict)

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        self.calls.append(call)
        if self.hang:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.delay_seconds)
        self._check(call.model)
        rows = rows_of(call.inputs)
        if self.refuse_id is not None and any(self.refuse_id in ids for ids, *_ in rows):
            raise InferenceFailed("refused")
        made = {name: self._values(name, rows) for name in call.outputs}
        return {**made, **{name: value for name, value in self.wrong_outputs.items() if name in made}}

    def _values(self, name: str, rows: Sequence[_Row]) -> Tensor:
        if name == "row_status":
            return np.array([len(ids) >= self.out_of_memory_tokens for ids, *_ in rows], dtype=np.int32)
        values = [self._value(name, row) for row in rows]
        made = (np.concatenate(values) if values else np.empty((0, SIZE))).astype(np.float32)
        return -made if self.wrong else made

    def _value(self, name: str, row: _Row) -> Tensor:
        ids, adapter, pixels, spans = row
        if name == "embeddings":
            value = vector_of(ids, adapter, pixels)[None]
        elif name == "token_vectors":
            value = token_vectors_of(ids, adapter, pixels)
        else:
            hidden = hidden_of(ids, adapter, pixels)
            value = np.array([hidden[start:end].sum(axis=0) for start, end in spans]).reshape(-1, SIZE)
        if len(ids) >= self.out_of_memory_tokens:
            return np.zeros_like(value)
        return np.full_like(value, np.nan) if self.nan or self.spoilt_id in ids else value


_Row = tuple[list[int], int, np.ndarray | None, list[list[int]]]


def rows_of(inputs: Mapping[str, Tensor]) -> list[_Row]:
    """The wire's rows, each as ids, adapter, pixels and spans. Raises `AssertionError` where lengths do not add up."""
    ids, pixels, spans = inputs["token_ids"].tolist(), inputs.get("pixels"), inputs.get("spans")
    lengths, adapters = inputs["row_lengths"], inputs["row_adapters"]
    assert {inputs[name].dtype.name for name in ("token_ids", "row_lengths", "row_adapters")} == {"int32"}
    assert len(ids) == lengths.sum()
    assert ("pixels" in inputs, "spans" in inputs) == ("image_sizes" in inputs, "span_counts" in inputs)
    sizes = inputs.get("image_sizes", np.zeros((len(lengths), 2), np.int32))
    counts = inputs.get("span_counts", np.zeros(len(lengths), np.int32))
    assert (sizes.shape, counts.shape, adapters.shape) == ((len(lengths), 2), lengths.shape, lengths.shape)
    rows: list[_Row] = []
    token = byte = span = 0
    for length, adapter, (height, width), count in zip(lengths, adapters, sizes, counts, strict=True):
        image = None
        if height:
            assert pixels is not None
            image = pixels[byte : byte + height * width * 3].reshape(height, width, 3)
        own = [] if spans is None else spans[span : span + count].tolist()
        rows.append((ids[token : token + length], int(adapter), image, own))
        token, byte, span = token + int(length), byte + int(height * width * 3), span + int(count)
    assert pixels is None or (pixels.dtype == np.uint8 and byte == len(pixels))
    assert spans is None or span == len(spans)
    return rows
