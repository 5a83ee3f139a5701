"""Small BERT repositories of sentence-transformers, each with one way of being different that an importer has to see.

`FAITHFUL` can be served as they say; of `UNFAITHFUL` no vector would be the one that their authors mean, or no file may
be trusted, so an importer has to refuse them.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from tests.support.tiny_bert import safetensors_bytes
from tests.support.twins import generic_bert
from tests.support.twins.generic_bert import Signature
from tests.support.twins.tokenizer_files import BERT_TOKENS, bert, json_file, tokenizer_files, vocabulary_file
from tests.support.twins.twin import Twin, Weights
from tests.support.twins.wiring import single_file, with_external_data

POOLING = "1_Pooling/config.json"
LEGACY_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
NO_LIMIT = 1000000000000000019884624838656
PROMPTS = {"query": "search query: ", "document": "search document: "}
OUTSIDE = "../outside.bin"
DENSE_SIZE = 8
LEGACY_STAGES = tuple(f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Normalize"))


@cache
def mean() -> Twin:
    """As sentence-transformers 6 writes it: modules by their new paths, `pooling_mode` as a word."""
    own = "sentence_transformers"
    kinds = (f"{own}.base.modules.transformer.Transformer", f"{own}.sentence_transformer.modules.pooling.Pooling")
    weights = generic_bert.weights(seed=100)
    files = {
        **_stages(*kinds, f"{own}.base.modules.normalize.Normalize"),
        POOLING: json_file(
            {"embedding_dimension": generic_bert.HIDDEN, "pooling_mode": "mean", "include_prompt": True}
        ),
        "sentence_bert_config.json": json_file(
            {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
        ),
        "config_sentence_transformers.json": json_file(
            {
                "model_type": "SentenceTransformer",
                "__version__": {"sentence_transformers": "6.2.0"},
                "prompts": {"query": "", "document": ""},
                "default_prompt_name": None,
                "similarity_fn_name": "cosine",
            }
        ),
        "model.safetensors": safetensors_bytes(weights),
        "onnx/model.onnx": _exported(weights),
    }
    return _twin("acme/mean-pooled", weights, files)


@cache
def cls() -> Twin:
    """The first token's state, said by the booleans of older versions; not normalised by a stage of its own."""
    weights = generic_bert.weights(seed=101)
    files = {**_stages(*LEGACY_STAGES[:2]), POOLING: _legacy("cls_token"), "onnx/model.onnx": _exported(weights)}
    return _twin("acme/cls-pooled", weights, files, pooling="cls")


@cache
def last_token() -> Twin:
    weights = generic_bert.weights(seed=102)
    files = {**_stages(*LEGACY_STAGES), POOLING: _legacy("lasttoken"), "onnx/model.onnx": _exported(weights)}
    return _twin("acme/last-token-pooled", weights, files, pooling="lasttoken")


@cache
def pooled_output() -> Twin:
    """The graph gives `token_embeddings` and, as `sentence_embedding`, their mean, which is not of unit length."""
    weights = generic_bert.weights(seed=103)
    graph = _exported(weights, Signature(outputs=("token_embeddings", "sentence_embedding")))
    files = {**_stages(*LEGACY_STAGES), POOLING: _legacy("mean_tokens"), "onnx/model.onnx": graph}
    return _twin("acme/pooled-output", weights, files)


@cache
def token_types() -> Twin:
    """`token_type_ids` is required, and comes second."""
    weights = generic_bert.weights(seed=104)
    graph = _exported(weights, Signature(inputs=("input_ids", "token_type_ids", "attention_mask")))
    files = {
        **_stages(*LEGACY_STAGES),
        POOLING: _legacy("mean_tokens"),
        "onnx/model.onnx": graph,
        "model.safetensors": safetensors_bytes(weights),
    }
    return _twin("acme/token-types", weights, files)


@cache
def prompted() -> Twin:
    """Prompts, one of them the default; 16 tokens at most, while its tokenizer file cuts at 7 and pads to 7."""
    weights = generic_bert.weights(seed=105)
    tokenizer = bert()
    tokenizer.enable_truncation(max_length=7)
    tokenizer.enable_padding(length=7, pad_id=0, pad_token="[PAD]")
    files = {
        **_stages(*LEGACY_STAGES),
        POOLING: _legacy("mean_tokens"),
        "sentence_bert_config.json": json_file({"max_seq_length": 16, "do_lower_case": False}),
        "config_sentence_transformers.json": json_file(
            {"prompts": PROMPTS, "default_prompt_name": "document", "similarity_fn_name": "cosine"}
        ),
        "onnx/model.onnx": _exported(weights),
    }
    return _twin("acme/prompted", weights, files, max_tokens=16, tokenizer=tokenizer)


@cache
def left_padded() -> Twin:
    """`padding_side` is left, yet positions count from the left edge: only right-padded batches give its vectors."""
    weights = generic_bert.weights(seed=106)
    tokenizer = bert()
    tokenizer.enable_padding(direction="left", pad_id=0, pad_token="[PAD]")
    files = {**_stages(*LEGACY_STAGES), POOLING: _legacy("lasttoken"), "onnx/model.onnx": _exported(weights)}
    config = {"padding_side": "left"}
    return _twin("acme/left-padded", weights, files, pooling="lasttoken", tokenizer=tokenizer, tokenizer_config=config)


@cache
def unknown_input() -> Twin:
    """The graph also requires `pixel_values`."""
    weights = generic_bert.weights(seed=107)
    graph = _exported(weights, Signature(pixels=True))
    files = {**_stages(*LEGACY_STAGES), POOLING: _legacy("mean_tokens"), "onnx/model.onnx": graph}
    return _twin("acme/with-pixels", weights, files)


@cache
def dense_stage() -> Twin:
    """A linear stage after the pooling, which the graph, exported from the bare transformer, does not hold."""
    weights = generic_bert.weights(seed=108)
    own = "sentence_transformers.models"
    generator = np.random.default_rng(109)
    layer = {
        "linear.weight": generator.normal(size=(DENSE_SIZE, generic_bert.HIDDEN)).astype(np.float32),
        "linear.bias": generator.normal(size=DENSE_SIZE).astype(np.float32),
    }
    dense = {
        "in_features": generic_bert.HIDDEN,
        "out_features": DENSE_SIZE,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    files = {
        **_stages(*LEGACY_STAGES[:2], f"{own}.Dense", f"{own}.Normalize"),
        POOLING: _legacy("mean_tokens"),
        "2_Dense/config.json": json_file(dense),
        "2_Dense/model.safetensors": safetensors_bytes(layer),
        "onnx/model.onnx": _exported(weights),
    }
    return _twin("acme/dense-stage", weights, files)


@cache
def pickle_only() -> Twin:
    """Weights in a pickle, which runs code when it is read, and in no other form."""
    weights = generic_bert.weights(seed=110)
    pickled = pickle.dumps({name: array.tolist() for name, array in weights.items()}, protocol=2)
    files = {**_stages(*LEGACY_STAGES), POOLING: _legacy("mean_tokens"), "pytorch_model.bin": pickled}
    return _twin("acme/pickle-only", weights, files)


@cache
def escaping() -> Twin:
    """The graph names a data file outside its own folder."""
    weights = generic_bert.weights(seed=111)
    graph, data = with_external_data(generic_bert.graph(weights, Signature()), OUTSIDE)
    files = {
        **_stages(*LEGACY_STAGES),
        POOLING: _legacy("mean_tokens"),
        "onnx/model.onnx": graph,
        "outside.bin": data,
    }
    return _twin("acme/escaping-data", weights, files)


FAITHFUL = (mean, cls, last_token, pooled_output, token_types, prompted, left_padded)
UNFAITHFUL = (unknown_input, dense_stage, pickle_only, escaping)


def _twin(
    repository: str,
    weights: Weights,
    files: Mapping[str, bytes],
    *,
    pooling: str = "mean",
    max_tokens: int = generic_bert.MAX_TOKENS,
    tokenizer: Tokenizer | None = None,
    tokenizer_config: Mapping[str, object] | None = None,
) -> Twin:
    tokenizer = tokenizer or bert()
    named = {"model_max_length": NO_LIMIT, "tokenizer_class": "BertTokenizer", **(tokenizer_config or {})}
    return Twin(
        repository=repository,
        files={
            "config.json": json_file(generic_bert.config()),
            "vocab.txt": vocabulary_file(tokenizer),
            **tokenizer_files(tokenizer, BERT_TOKENS, **named),
            **files,
        },
        dimensions=generic_bert.HIDDEN,
        max_tokens=max_tokens,
        pad_id=0,
        pooling=pooling,
        weights=weights,
        config=generic_bert.config(),
        forward=generic_bert.oracle(weights),
    )


def _exported(weights: Weights, signature: Signature | None = None) -> bytes:
    return single_file(generic_bert.graph(weights, signature or Signature()))


def _stages(*kinds: str) -> dict[str, bytes]:
    """`modules.json` for these classes; the first is the transformer in the root, the others have folders."""
    stages = [
        {
            "idx": place,
            "name": str(place),
            "path": f"{place}_{kind.rpartition('.')[2]}" if place else "",
            "type": kind,
        }
        for place, kind in enumerate(kinds)
    ]
    return {"modules.json": json_file(stages)}


def _legacy(mode: str) -> bytes:
    modes = {f"pooling_mode_{name}": name == mode for name in LEGACY_MODES}
    return json_file({"word_embedding_dimension": generic_bert.HIDDEN, **modes})
