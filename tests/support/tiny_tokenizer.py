"""A small WordPiece tokenizer in the shape of BERT's, with the truncation and padding traps of the shipped file."""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["the", "cat", "sat", "on", "a", "mat", "un", "##believ", "##able", "##s", "!", ".", "漢", "字"]
VOCABULARY = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
CLS, SEP = VOCABULARY["[CLS]"], VOCABULARY["[SEP]"]


def tiny_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.enable_truncation(max_length=5)
    tokenizer.enable_padding(length=5, pad_id=0, pad_token="[PAD]")
    return tokenizer
