"""What the merged repositories of jina-embeddings-v5-text have in common, whatever the size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tokenizers import Tokenizer

from tests.support.twins import llama
from tests.support.twins.llama import LlamaShape
from tests.support.twins.tokenizer_files import json_file, tokenizer_files
from tests.support.twins.twin import Twin, Weights

TASKS = ("retrieval", "text-matching", "clustering", "classification")
PROMPTS = {"query": "Query: ", "document": "Document: "}
STAGES = ("Transformer", "Pooling", "Normalize")


def twin(
    *,
    repository: str,
    shape: LlamaShape,
    weights: Weights,
    tokenizer: Tokenizer,
    special: Mapping[str, str],
    config: dict[str, object],
    graphs: dict[str, bytes],
    max_tokens: int,
    matryoshka: tuple[int, ...],
    tokenizer_config: Mapping[str, object],
) -> Twin:
    """A repository that pools the last token and pads with `special["pad_token"]`."""
    files = {
        "config.json": json_file(config),
        **sentence_transformers_files(shape.hidden, max_tokens),
        **tokenizer_files(tokenizer, special, **tokenizer_config),
        **graphs,
    }
    return Twin(
        repository=repository,
        files=files,
        dimensions=shape.hidden,
        max_tokens=max_tokens,
        pad_id=tokenizer.token_to_id(special["pad_token"]),
        pooling="lasttoken",
        weights=weights,
        config=config,
        forward=partial(llama.forward, shape, weights),
        matryoshka=matryoshka,
    )


def sentence_transformers_files(dimensions: int, max_tokens: int) -> dict[str, bytes]:
    names = [f"{place}_{kind}" if place else "" for place, kind in enumerate(STAGES)]
    stages = [
        {"idx": place, "name": str(place), "path": names[place], "type": f"sentence_transformers.models.{kind}"}
        for place, kind in enumerate(STAGES)
    ]
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling = {f"pooling_mode_{mode}": mode == "lasttoken" for mode in modes}
    return {
        "modules.json": json_file(stages),
        "1_Pooling/config.json": json_file({"word_embedding_dimension": dimensions, **pooling, "include_prompt": True}),
        "sentence_bert_config.json": json_file({"max_seq_length": max_tokens, "do_lower_case": False}),
        "config_sentence_transformers.json": json_file(
            {"prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"}
        ),
    }


def llama_config(shape: LlamaShape, vocabulary: int, **more: object) -> dict[str, object]:
    return {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": shape.size,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.groups,
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_theta": shape.theta, "rope_type": "default"},
        "torch_dtype": "bfloat16",
        "vocab_size": vocabulary,
        **more,
    }
