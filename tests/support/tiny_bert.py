"""A whole little model: random BERT weights as safetensors, a tokenizer and a card, published nowhere."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from gateway.artifacts.graphs.building import build_graph
from gateway.cards.schema import GraphSpec
from tests.support import numpy_bert

CONTENT = "a small model speaks of few things and knows them well"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *CONTENT.split()]
CANARY = "a small model knows few things"


def tiny_config(**changes: object) -> dict[str, object]:
    config: dict[str, object] = {
        "hidden_act": "gelu",
        "hidden_size": 16,
        "intermediate_size": 24,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 32,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": len(WORDS),
    }
    return {**config, **changes}


def random_weights(config: dict[str, object], seed: int = 0) -> dict[str, np.ndarray]:
    """float32 arrays by their BERT names, larger than trained ones so that mistakes show."""
    size, inner = int(str(config["hidden_size"])), int(str(config["intermediate_size"]))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (int(str(config["vocab_size"])), size),
        "embeddings.position_embeddings.weight": (int(str(config["max_position_embeddings"])), size),
        "embeddings.token_type_embeddings.weight": (int(str(config["type_vocab_size"])), size),
        **_norm_shapes("embeddings.LayerNorm", size),
    }
    for layer in range(int(str(config["num_hidden_layers"]))):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear_shapes(f"{name}.attention.{part}", size, size)
        shapes |= _linear_shapes(f"{name}.intermediate.dense", size, inner)
        shapes |= _linear_shapes(f"{name}.output.dense", inner, size)
        shapes |= _norm_shapes(f"{name}.attention.output.LayerNorm", size)
        shapes |= _norm_shapes(f"{name}.output.LayerNorm", size)
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def _linear_shapes(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def safetensors_bytes(weights: dict[str, np.ndarray]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, array in sorted(weights.items()):
        data = np.ascontiguousarray(array, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tokenizer_bytes() -> bytes:
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer.to_str().encode()


@dataclass
class TinyModel:
    """What a source publishes (`published`, by hub path) and the card that asks for it."""

    name: str = "tiny-bert"
    seed: int = 0
    extra: dict[str, bytes] = field(default_factory=dict)
    wheel_sha256: str | None = None

    def __post_init__(self) -> None:
        self.config = tiny_config()
        self.weights = random_weights(self.config, self.seed)
        self.published: dict[str, bytes] = {
            "model.safetensors": safetensors_bytes(self.weights),
            "tokenizer.json": tokenizer_bytes(),
            **self.extra,
        }
        self.revision = "f" * 39 + "1"
        self.hub_id = f"someone/{self.name}"

    def canary(self) -> list[float]:
        ids = np.array([[2, *(WORDS.index(word) for word in CANARY.split()), 3]])
        return [
            float(value) for value in numpy_bert.embeddings(self.config, self.weights, ids, np.ones_like(ids))[0, :8]
        ]

    def graph(self, folder: Path) -> bytes:
        """The graph's bytes; `folder` is scratch space."""
        weights = folder / "model.safetensors"
        weights.write_bytes(self.published["model.safetensors"])
        return build_graph(GraphSpec("bert", "1/model.safetensors", self.config), weights)

    def write_card(self, repository: Path, *, scratch: Path) -> Path:
        """Write the model folder with its card; returns the folder."""
        folder = repository / self.name
        folder.mkdir(parents=True)
        (folder / "card.toml").write_text(self.card_text(scratch), encoding="utf-8")
        return folder

    def card_text(self, scratch: Path) -> str:
        graph = self.graph(scratch)
        files = [_file(f"1/{path}", data, hub=path) for path, data in self.published.items()]
        files.append(_file("1/model.onnx", graph))
        config = "\n".join(f"{key} = {json.dumps(value)}" for key, value in self.config.items())
        wheel = f'[wheel]\nproject = "{self.name}-files"\nversion = "1.0"\nsha256 = "{self.wheel_sha256}"\n'
        return CARD.format(
            name=self.name,
            hub_id=self.hub_id,
            revision=self.revision,
            canary=self.canary(),
            canary_text=CANARY,
            config=config,
            wheel=wheel if self.wheel_sha256 else "",
            files="\n".join(files),
        )


def _file(path: str, data: bytes, hub: str | None = None) -> str:
    origin = f'hub_path = "{hub}"\nwheel_path = "tiny_files/{hub}"' if hub else 'built_by = "bert"'
    digest = hashlib.sha256(data).hexdigest()
    return f'[[files]]\npath = "{path}"\nsize_bytes = {len(data)}\nsha256 = "{digest}"\n{origin}\n'


CARD = """
name = "{name}"
hub_id = "{hub_id}"
revision = "{revision}"
licence = "MIT"
released = 2026-01-02
summary = "Random weights for tests."
aliases = ["tiny"]

[tokenizer]
file = "1/tokenizer.json"
max_tokens = 32
pad_id = 0

[vectors]
dimensions = 16
pooling = "mean"

[triton]
backend = "onnxruntime"
default_model_filename = "model.onnx"
instance_kind = "KIND_CPU"

[[triton.inputs]]
name = "input_ids"
data_type = "TYPE_INT64"
dims = [-1, -1]
role = "token_ids"

[[triton.inputs]]
name = "attention_mask"
data_type = "TYPE_INT64"
dims = [-1, -1]
role = "attention_mask"

[[triton.inputs]]
name = "token_type_ids"
data_type = "TYPE_INT64"
dims = [-1, -1]
role = "token_type_ids"

[[triton.outputs]]
name = "sentence_embedding"
data_type = "TYPE_FP32"
dims = [-1, 16]
role = "sentence_embedding"

[[triton.outputs]]
name = "last_hidden_state"
data_type = "TYPE_FP32"
dims = [-1, -1, 16]
role = "token_embeddings"

[canary]
text = "{canary_text}"
expected = {canary}
tolerance = 1e-4

[graph]
builder = "bert"
weights = "1/model.safetensors"

[graph.config]
{config}

{wheel}
{files}
"""
