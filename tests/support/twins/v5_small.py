"""Twins of the four merged jina-embeddings-v5-text-small repositories: Qwen3, causal, last token pooled.

The tokenizer adds no special token at all, so the empty text has no tokens and no vector.
"""

from __future__ import annotations

from functools import cache

from tokenizers import normalizers

from tests.support.twins import llama, v5_text
from tests.support.twins.llama import LlamaShape
from tests.support.twins.tokenizer_files import byte_level_bpe
from tests.support.twins.twin import Twin
from tests.support.twins.wiring import Wiring, exported

SHAPE = LlamaShape(
    hidden=32, inner=48, layers=2, heads=4, groups=2, size=12, theta=1e6, epsilon=1e-6, causal=True, head_norms=True
)
MAX_TOKENS = 32768
# Qwen's stock tokenizer_config.json allows more than the model was trained for.
TOKENIZER_LIMIT = 131072
MATRYOSHKA = (8, 16, 24, 32)
END, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHUNKS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def build(task: str = "retrieval") -> Twin:
    """The repository for one of `v5_text.TASKS`."""
    tokenizer = byte_level_bpe(CHUNKS, [END, TURN_START, TURN_END])
    tokenizer.normalizer = normalizers.NFC()
    vocabulary = tokenizer.get_vocab_size()
    weights = llama.random_weights(SHAPE, vocabulary, seed=52, task_seed=v5_text.TASKS.index(task))
    config = v5_text.llama_config(
        SHAPE,
        vocabulary,
        architectures=["Qwen3Model"],
        bos_token_id=tokenizer.token_to_id(END),
        eos_token_id=tokenizer.token_to_id(END),
        matryoshka_dimensions=list(MATRYOSHKA),
        max_position_embeddings=MAX_TOKENS,
        model_type="qwen3",
        tie_word_embeddings=True,
    )
    return v5_text.twin(
        repository=f"jinaai/jina-embeddings-v5-text-small-{task}",
        shape=SHAPE,
        weights=weights,
        tokenizer=tokenizer,
        special={"eos_token": END, "pad_token": END},
        config=config,
        graphs=exported(llama.graph(SHAPE, weights, Wiring()), "onnx/model.onnx"),
        max_tokens=MAX_TOKENS,
        matryoshka=MATRYOSHKA,
        tokenizer_config={"model_max_length": TOKENIZER_LIMIT, "tokenizer_class": "Qwen2Tokenizer"},
    )
