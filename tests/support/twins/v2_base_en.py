"""A twin of jina-embeddings-v2-base-en as Xenova publishes it: JinaBERT with symmetric ALiBi and a gated GELU.

The repository is a plain export: no files of sentence-transformers, `token_type_ids` required, no position table.
"""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
import onnx

from tests.support.twins import numpy_layers as npl
from tests.support.twins import onnx_layers as ol
from tests.support.twins.drawing import Drawing
from tests.support.twins.tokenizer_files import BERT_TOKENS, bert, json_file, tokenizer_files, vocabulary_file
from tests.support.twins.twin import Twin, Weights
from tests.support.twins.wiring import Wiring, ids_value, single_file, value

REPOSITORY = "Xenova/jina-embeddings-v2-base-en"
# Three heads, as upstream's twelve are no power of two either, which slopes depend on.
HIDDEN, INNER, LAYERS, HEADS = 48, 64, 2, 3
SIZE = HIDDEN // HEADS
EPSILON = 1e-12
MAX_TOKENS = 8192


@cache
def build() -> Twin:
    tokenizer = bert()
    vocabulary = tokenizer.get_vocab_size()
    weights = random_weights(vocabulary)
    config = _config(vocabulary)
    files = {
        "config.json": json_file(config),
        "vocab.txt": vocabulary_file(tokenizer),
        **tokenizer_files(
            tokenizer, BERT_TOKENS, model_max_length=MAX_TOKENS, tokenizer_class="BertTokenizer", do_lower_case=True
        ),
        "onnx/model.onnx": single_file(_graph(weights, Wiring())),
        "onnx/model_quantized.onnx": single_file(_graph(weights, Wiring(int8=True))),
    }
    return Twin(
        repository=REPOSITORY,
        files=files,
        dimensions=HIDDEN,
        max_tokens=MAX_TOKENS,
        pad_id=0,
        pooling="mean",
        weights=weights,
        config=config,
        forward=partial(_forward, weights),
    )


def slopes(heads: int) -> np.ndarray:
    """float64 [heads]: ALiBi's geometric series (arXiv:2108.12409, appendix A.3), gaps filled from the next longer."""
    whole = 2 ** math.floor(math.log2(heads))
    series = [2.0 ** (-8.0 * (place + 1) / whole) for place in range(whole)]
    longer = [2.0 ** (-8.0 * (place + 1) / (2 * whole)) for place in range(0, 2 * whole, 2)]
    return np.array(series + longer[: heads - whole])


def _forward(weights: Weights, ids: np.ndarray) -> np.ndarray:
    w = npl.double(weights)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = npl.layer_norm(x, w, "embeddings.LayerNorm", EPSILON)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        parts = (npl.linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = npl.attend(*(part.reshape(len(x), HEADS, SIZE) for part in parts), slopes=slopes(HEADS))
        mixed = npl.linear(mixed, w, f"{name}.attention.output.dense")
        x = npl.layer_norm(x + mixed, w, f"{name}.attention.output.LayerNorm", EPSILON)
        gate, plain = np.split(npl.linear(x, w, f"{name}.mlp.gated_layers"), 2, axis=1)
        inner = npl.linear(npl.gelu(gate) * plain, w, f"{name}.mlp.wo")
        x = npl.layer_norm(x + inner, w, f"{name}.mlp.layernorm", EPSILON)
    return x


def random_weights(vocabulary: int, seed: int = 2) -> Weights:
    """float32 by the checkpoint's names."""
    draw = Drawing(seed)
    draw.array("embeddings.word_embeddings.weight", vocabulary, HIDDEN, scale=1.0)
    draw.array("embeddings.token_type_embeddings.weight", 2, HIDDEN, scale=0.5)
    draw.norm("embeddings.LayerNorm", HIDDEN)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            draw.dense(f"{name}.attention.self.{part}", HIDDEN, HIDDEN, scale=1.5)
        draw.dense(f"{name}.attention.output.dense", HIDDEN, HIDDEN)
        draw.norm(f"{name}.attention.output.LayerNorm", HIDDEN)
        draw.dense(f"{name}.mlp.gated_layers", HIDDEN, 2 * INNER, bias=False)
        draw.dense(f"{name}.mlp.wo", INNER, HIDDEN)
        draw.norm(f"{name}.mlp.layernorm", HIDDEN)
    return draw.weights


def _graph(weights: Weights, w: Wiring) -> onnx.ModelProto:
    tables = {name: w.weight(name, array) for name, array in weights.items() if "_embeddings." in name}
    words = w.op("Gather", tables["embeddings.word_embeddings.weight"], "input_ids")
    types = w.op("Gather", tables["embeddings.token_type_embeddings.weight"], "token_type_ids")
    x = ol.layer_norm(w, w.op("Add", words, types), weights, "embeddings.LayerNorm", EPSILON)
    bias = ol.alibi_bias(w, slopes(HEADS))
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        parts = (ol.linear(w, x, weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = ol.attend(w, *(ol.split_heads(w, part, SIZE) for part in parts), bias=bias, size=SIZE)
        mixed = ol.linear(w, mixed, weights, f"{name}.attention.output.dense")
        x = ol.layer_norm(w, w.op("Add", x, mixed), weights, f"{name}.attention.output.LayerNorm", EPSILON)
        gate, plain = w.ops("Split", ol.linear(w, x, weights, f"{name}.mlp.gated_layers"), outputs=2, axis=-1)
        inner = ol.linear(w, w.op("Mul", ol.gelu(w, gate), plain), weights, f"{name}.mlp.wo")
        x = ol.layer_norm(w, w.op("Add", x, inner), weights, f"{name}.mlp.layernorm", EPSILON)
    w.op("Identity", x, to="last_hidden_state")
    inputs = [ids_value(name) for name in ("input_ids", "attention_mask", "token_type_ids")]
    return w.model(inputs, [value("last_hidden_state", ["batch_size", "sequence_length", HIDDEN])])


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["JinaBertModel"],
        "attention_probs_dropout_prob": 0.1,
        "auto_map": {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"},
        "emb_pooler": "mean",
        "feed_forward_type": "geglu",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "layer_norm_eps": EPSILON,
        "max_position_embeddings": MAX_TOKENS,
        "model_max_length": MAX_TOKENS,
        "model_type": "bert",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": 0,
        "position_embedding_type": "alibi",
        "type_vocab_size": 2,
        "vocab_size": vocabulary,
    }
