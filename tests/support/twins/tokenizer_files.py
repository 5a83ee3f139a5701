"""Small tokenizers of the kinds that the models ship, with the files around them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = (
    "the of and to in is a for that it on with as are this by model text query document evidence represent retrieval "
    "retrieving documents search vector token sentence language question answer small large new one two house street "
    "quick brown fox jumps over lazy dog skin care organic sensitive products apples hat der die das und le la les un "
    "est en el que los"
)
ENDINGS = "ing ed er est ly tion s es ment able re un pre st th ch qu ou ea ai er on an in at or"
MERGES = 280
ASCII = "".join(map(chr, range(33, 127)))
ACCENTED = "äöüßéèêëàâáåçñíìîïóòôøúùûÄÖÜÉÈÀÇÑ¿¡€£°"
OTHER_SCRIPTS = (
    "абвгдежзийклмнопрстуфхцчшщъыьэюя αβγδεζηθικλμνξοπρστυφχψω 你好世界机器学习模型文本搜索中国人天地水火 "
    "日本語こんにちはのを。、！？ 안녕하세요 שלום مرحبا สวัสดี नमस्ते 🙂"
)


def unigram_pieces() -> list[tuple[str, float]]:
    """SentencePiece-like pieces with log probabilities: whole words before parts, parts before single characters."""
    words = WORDS.split()
    pieces = [f"▁{word}" for word in words] + [f"▁{word.capitalize()}" for word in words[:40]]
    scored = [(piece, -5.0 - place / 100) for place, piece in enumerate(pieces)]
    scored += [(ending, -7.5 - place / 100) for place, ending in enumerate(ENDINGS.split()) if len(ending) > 1]
    singles = dict.fromkeys("▁" + ASCII + ACCENTED + OTHER_SCRIPTS.replace(" ", ""))
    scored += [(character, -9.0 - place / 1000) for place, character in enumerate(singles)]
    return list(dict(reversed(scored)).items())[::-1]


def xlm_roberta() -> Tokenizer:
    """`<s> A </s>` and `<s> A </s></s> B </s>` over unigram pieces; what has no piece becomes `<unk>`."""
    head = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    vocabulary = [*head, *unigram_pieces(), ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    spaced = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaced])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


XLM_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False},
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}


def bert() -> Tokenizer:
    """`[CLS] A [SEP]` over lower-cased WordPiece; `[PAD]` is 0."""
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    singles = "".join(dict.fromkeys((ASCII + ACCENTED + OTHER_SCRIPTS).lower().replace(" ", "")))
    words = [*names, *singles, *(f"##{character}" for character in singles), *WORDS.split()]
    words += [f"##{ending}" for ending in ENDINGS.split()]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(names))
    return tokenizer


def vocabulary_file(tokenizer: Tokenizer) -> bytes:
    """`vocab.txt`: a token a line, in the order of ids."""
    vocabulary = tokenizer.get_vocab()
    return "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__)).encode()


BERT_TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


def byte_level_bpe(pattern: str, special: list[str]) -> Tokenizer:
    """Byte-level BPE: 256 byte tokens, then merges, then the `special` tokens; adds none of them to a text.

    `pattern` cuts a text into the chunks that merges stay within.
    """
    merges = _learned_merges(pattern)
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = _byte_chunks(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(special)
    return tokenizer


def _byte_chunks(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@cache
def _learned_merges(pattern: str) -> tuple[tuple[str, str], ...]:
    """The pairs that byte-pair encoding (arXiv:1508.07909) merges on `WORDS`, each giving a new piece, in order."""
    text = f"{WORDS.title()} {WORDS} {WORDS} {ENDINGS} Query: Document: the 你好 世界"
    words = Counter(tuple(chunk) for chunk, _ in _byte_chunks(pattern).pre_tokenize_str(text))
    merges: dict[str, tuple[str, str]] = {}
    while len(merges) < MERGES:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        new = (pair for pair in pairs if "".join(pair) not in merges)
        best = max(new, key=lambda pair: (pairs[pair], pair))
        merges["".join(best)] = best
        words = Counter({_merged(word, best): count for word, count in words.items()})
    return tuple(merges.values())


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    pieces: list[str] = []
    for piece in word:
        if pieces and (pieces[-1], piece) == pair:
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return tuple(pieces)


def tokenizer_files(tokenizer: Tokenizer, special: Mapping[str, object], **config: object) -> dict[str, bytes]:
    """`tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`; `config` goes into the second."""
    plain = {key: value["content"] if isinstance(value, dict) else value for key, value in special.items()}
    return {
        "tokenizer.json": tokenizer.to_str(pretty=False).encode(),
        "tokenizer_config.json": json_file({**plain, **config}),
        "special_tokens_map.json": json_file(special),
    }


def json_file(document: object) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
