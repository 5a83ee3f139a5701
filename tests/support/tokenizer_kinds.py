"""Small tokenizers of every kind whose offsets behave differently, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.support.tiny_tokenizer import tiny_tokenizer
from tests.support.twins.tokenizer_files import xlm_roberta


def byte_level(*, trim_offsets: bool) -> Tokenizer:
    """Qwen's kind: bytes as tokens, merges over line ends, no special token anywhere."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ċ", "Ċ"), ("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e"), ("c", "a"), ("Ġ", "Ġ"), ("ä", "½")]
    vocabulary = {word: place for place, word in enumerate([*letters, *("".join(pair) for pair in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\s*[\r\n]+|\s+(?!\S)|\s+|."), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


def across_words() -> Tokenizer:
    """Pieces that run over spaces, a normaliser that drops characters and one that makes them more."""
    pieces = ["▁", "▁the", "▁the▁cat", "c", "at▁c", "你", "好世", "e", "é", "!", "ab"]
    tokenizer = Tokenizer(models.Unigram([("<unk>", -20.0), *((piece, -3.0) for piece in pieces)], unk_id=0))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\u200b", ""), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <unk>", special_tokens=[("<unk>", 0)])
    return tokenizer


def stripping() -> Tokenizer:
    """BERT's kind: lower case, accents and control characters dropped, white space without tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


KINDS: Mapping[str, Callable[[], Tokenizer]] = {
    "xlm-roberta": cache(xlm_roberta),
    "bert": cache(stripping),
    "byte level": cache(lambda: byte_level(trim_offsets=False)),
    "byte level, trimmed": cache(lambda: byte_level(trim_offsets=True)),
    "across words": cache(across_words),
}
