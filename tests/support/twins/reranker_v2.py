"""A twin of jina-reranker-v2-base-multilingual: XLM-RoBERTa with learned positions and one logit a pair.

The position table has 1026 rows and the first token's position is 2, so a row of more than 1024 tokens fails.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import onnx

from tests.support.twins import numpy_layers as npl
from tests.support.twins import onnx_layers as ol
from tests.support.twins.drawing import Drawing
from tests.support.twins.tokenizer_files import XLM_ROBERTA_TOKENS, json_file, tokenizer_files, xlm_roberta
from tests.support.twins.twin import Twin, Weights
from tests.support.twins.wiring import Wiring, ids_value, single_file, value

REPOSITORY = "jinaai/jina-reranker-v2-base-multilingual"
HIDDEN, INNER, LAYERS, HEADS = 32, 48, 2, 2
SIZE = HIDDEN // HEADS
EPSILON = 1e-5
MAX_TOKENS = 1024
PAD_ID = 1
POSITIONS = MAX_TOKENS + PAD_ID + 1
ENCODER = "roberta.encoder.layer"


@cache
def build() -> Twin:
    """The whole repository. Its `vector` means nothing; what the model is for is `logit`."""
    tokenizer = xlm_roberta()
    vocabulary = tokenizer.get_vocab_size()
    weights = random_weights(vocabulary)
    config = _config(vocabulary)
    files = {
        "config.json": json_file(config),
        **tokenizer_files(
            tokenizer, XLM_ROBERTA_TOKENS, model_max_length=MAX_TOKENS, tokenizer_class="XLMRobertaTokenizer"
        ),
        "onnx/model.onnx": single_file(_graph(weights, Wiring())),
        "onnx/model_fp16.onnx": single_file(_graph(weights, Wiring(np.float16))),
        "onnx/model_quantized.onnx": single_file(_graph(weights, Wiring(int8=True))),
    }
    return Twin(
        repository=REPOSITORY,
        files=files,
        dimensions=HIDDEN,
        max_tokens=MAX_TOKENS,
        pad_id=PAD_ID,
        pooling="cls",
        weights=weights,
        config=config,
        forward=partial(_forward, weights),
    )


def logit(ids: np.ndarray) -> float:
    """The raw score of one row `<s> query </s></s> document </s>`, before any sigmoid."""
    twin = build()
    w = npl.double(twin.weights)
    first = twin.hidden_states(ids)[0]
    return float(npl.linear(np.tanh(npl.linear(first, w, "classifier.dense")), w, "classifier.out_proj")[0])


def pair_ids(query: str, document: str) -> np.ndarray:
    """int64 [tokens] of a pair with its four special tokens, not cut."""
    return np.array(build().tokenizer().encode(query, document).ids, dtype=np.int64)


def _forward(weights: Weights, ids: np.ndarray) -> np.ndarray:
    w = npl.double(weights)
    x = w["roberta.embeddings.word_embeddings.weight"][ids]
    x = x + w["roberta.embeddings.position_embeddings.weight"][PAD_ID + 1 + np.arange(len(ids))]
    x = x + w["roberta.embeddings.token_type_embeddings.weight"][0]
    x = npl.layer_norm(x, w, "roberta.embeddings.LayerNorm", EPSILON)
    for layer in range(LAYERS):
        name = f"{ENCODER}.{layer}"
        parts = (npl.linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = npl.attend(*(part.reshape(len(x), HEADS, SIZE) for part in parts))
        mixed = npl.linear(mixed, w, f"{name}.attention.output.dense")
        x = npl.layer_norm(x + mixed, w, f"{name}.attention.output.LayerNorm", EPSILON)
        inner = npl.gelu(npl.linear(x, w, f"{name}.intermediate.dense"))
        x = npl.layer_norm(x + npl.linear(inner, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm", EPSILON)
    return x


def random_weights(vocabulary: int, seed: int = 20) -> Weights:
    """float32 by the names of transformers' XLMRobertaForSequenceClassification."""
    draw = Drawing(seed)
    embeddings = "roberta.embeddings"
    draw.array(f"{embeddings}.word_embeddings.weight", vocabulary, HIDDEN, scale=1.0)
    draw.array(f"{embeddings}.position_embeddings.weight", POSITIONS, HIDDEN, scale=0.3)
    draw.array(f"{embeddings}.token_type_embeddings.weight", 1, HIDDEN, scale=0.3)
    draw.norm(f"{embeddings}.LayerNorm", HIDDEN)
    for layer in range(LAYERS):
        name = f"{ENCODER}.{layer}"
        draw.dense(f"{name}.attention.self.query", HIDDEN, HIDDEN, scale=1.5)
        draw.dense(f"{name}.attention.self.key", HIDDEN, HIDDEN, scale=1.5)
        draw.dense(f"{name}.attention.self.value", HIDDEN, HIDDEN, scale=2.0)
        draw.dense(f"{name}.attention.output.dense", HIDDEN, HIDDEN, scale=3.0)
        draw.norm(f"{name}.attention.output.LayerNorm", HIDDEN)
        draw.dense(f"{name}.intermediate.dense", HIDDEN, INNER)
        draw.dense(f"{name}.output.dense", INNER, HIDDEN)
        draw.norm(f"{name}.output.LayerNorm", HIDDEN)
    draw.dense("classifier.dense", HIDDEN, HIDDEN)
    # A wide last layer spreads the scores over much of the sigmoid's range.
    draw.dense("classifier.out_proj", HIDDEN, 1, scale=7.0)
    return draw.weights


def _graph(weights: Weights, w: Wiring) -> onnx.ModelProto:
    embeddings = "roberta.embeddings"
    tables = {name: w.weight(name, array) for name, array in weights.items() if "_embeddings." in name}
    places = w.op("Add", ol.places(w), w.integer(PAD_ID + 1))
    x = w.op("Gather", tables[f"{embeddings}.word_embeddings.weight"], "input_ids")
    x = w.op("Add", x, w.op("Gather", tables[f"{embeddings}.position_embeddings.weight"], places))
    x = w.op("Add", x, tables[f"{embeddings}.token_type_embeddings.weight"])
    x = ol.layer_norm(w, x, weights, f"{embeddings}.LayerNorm", EPSILON)
    bias = ol.padding_bias(w)
    for layer in range(LAYERS):
        name = f"{ENCODER}.{layer}"
        parts = (ol.linear(w, x, weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = ol.attend(w, *(ol.split_heads(w, part, SIZE) for part in parts), bias=bias, size=SIZE)
        mixed = ol.linear(w, mixed, weights, f"{name}.attention.output.dense")
        x = ol.layer_norm(w, w.op("Add", x, mixed), weights, f"{name}.attention.output.LayerNorm", EPSILON)
        inner = ol.gelu(w, ol.linear(w, x, weights, f"{name}.intermediate.dense"))
        inner = ol.linear(w, inner, weights, f"{name}.output.dense")
        x = ol.layer_norm(w, w.op("Add", x, inner), weights, f"{name}.output.LayerNorm", EPSILON)
    first = w.op("Gather", x, w.integer(0), axis=1)
    top = w.op("Tanh", ol.linear(w, first, weights, "classifier.dense"))
    w.cast(ol.linear(w, top, weights, "classifier.out_proj"), np.float32, to="logits")
    return w.model([ids_value("input_ids"), ids_value("attention_mask")], [value("logits", ["batch_size", 1])])


def _config(vocabulary: int) -> dict[str, object]:
    code = "modeling_xlm_roberta"
    return {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "attention_probs_dropout_prob": 0.1,
        "auto_map": {
            "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": f"{code}.XLMRobertaModel",
            "AutoModelForSequenceClassification": f"{code}.XLMRobertaForSequenceClassification",
        },
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": HIDDEN,
        "id2label": {"0": "LABEL_0"},
        "intermediate_size": INNER,
        "label2id": {"LABEL_0": 0},
        "layer_norm_eps": EPSILON,
        "max_position_embeddings": POSITIONS,
        "model_type": "xlm-roberta",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": PAD_ID,
        "position_embedding_type": "absolute",
        "torch_dtype": "bfloat16",
        "type_vocab_size": 1,
        "vocab_size": vocabulary,
    }
