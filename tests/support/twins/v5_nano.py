"""Twins of the four merged jina-embeddings-v5-text-nano repositories: EuroBERT, bidirectional, last token pooled.

The fp16 graph's outputs are float16, each graph has a data file of its own, and the quantized one scales activations
over the whole batch, so that a row's vector depends on its neighbours.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from tokenizers import Tokenizer, processors

from tests.support.twins import llama, v5_text
from tests.support.twins.llama import LlamaShape
from tests.support.twins.tokenizer_files import byte_level_bpe
from tests.support.twins.twin import Twin
from tests.support.twins.wiring import Wiring, exported

SHAPE = LlamaShape(
    hidden=48,
    inner=64,
    layers=2,
    heads=3,
    groups=3,
    size=16,
    theta=250000.0,
    epsilon=1e-5,
    causal=False,
    head_norms=False,
)
MAX_TOKENS = 8192
MATRYOSHKA = (8, 16, 32, 48)
SPECIAL = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>"}
MASK = "<|mask|>"
CHUNKS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def build(task: str = "retrieval") -> Twin:
    """The repository for one of `v5_text.TASKS`."""
    tokenizer = _tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    weights = llama.random_weights(SHAPE, vocabulary, seed=51, task_seed=v5_text.TASKS.index(task))
    bos, end, mask = (tokenizer.token_to_id(token) for token in ("<|begin_of_text|>", "<|end_of_text|>", MASK))
    config = v5_text.llama_config(
        SHAPE,
        vocabulary,
        architectures=["EuroBertModel"],
        bos_token_id=bos,
        eos_token_id=end,
        mask_token_id=mask,
        matryoshka_dimensions=list(MATRYOSHKA),
        max_position_embeddings=MAX_TOKENS,
        mlp_bias=False,
        model_type="eurobert",
        pad_token_id=end,
        tie_word_embeddings=False,
    )
    return v5_text.twin(
        repository=f"jinaai/jina-embeddings-v5-text-nano-{task}",
        shape=SHAPE,
        weights=weights,
        tokenizer=tokenizer,
        special={**SPECIAL, "mask_token": MASK},
        config=config,
        graphs={
            **exported(llama.graph(SHAPE, weights, Wiring()), "onnx/model.onnx"),
            **exported(llama.graph(SHAPE, weights, Wiring(np.float16)), "onnx/model_fp16.onnx"),
            **exported(llama.graph(SHAPE, weights, Wiring(int8=True)), "onnx/model_quantized.onnx"),
        },
        max_tokens=MAX_TOKENS,
        matryoshka=MATRYOSHKA,
        tokenizer_config={"model_max_length": MAX_TOKENS, "tokenizer_class": "PreTrainedTokenizerFast"},
    )


def _tokenizer() -> Tokenizer:
    """`<|begin_of_text|> A`, and nothing at the end."""
    bos = SPECIAL["bos_token"]
    tokenizer = byte_level_bpe(CHUNKS, [bos, SPECIAL["eos_token"], MASK])
    template = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer
