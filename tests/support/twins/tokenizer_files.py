"""Small tokenizers of the kinds that the models ship, with the files around them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = (
    "the of and to in is a for that it on with as are this by model text query document evidence represent retrieval "
    "retrieving documents search vector token sentence language question answer small large new one two house street "
    "quick brown fox jumps over lazy dog skin care organic sensitive products apples hat der die das und le la les un "
    "est en el que los"
)
ENDINGS = "ing ed er est ly tion s es ment able re un pre st th ch qu ou ea ai er on an in at or"
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
