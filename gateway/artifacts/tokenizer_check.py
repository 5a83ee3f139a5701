"""Whether a model's tokenizer is the one that its card means: its window, its padding, its special tokens."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from gateway.artifacts.findings import REPAIR, Finding
from gateway.artifacts.measuring import load_tokenizer
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError
from gateway.text.canary_row import canary_row

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def check_tokenizer(card: Card) -> Finding:
    spec = card.tokenizer
    try:
        tokenizer = load_tokenizer(card)
        ids = canary_row(card, tokenizer).ids
    except ConfigurationError as error:
        return Finding("tokenizer", spec.file, False, error.message, error.remedy or REPAIR.format(name=card.name))
    mend = "Mend tokenizer.{key} in card.toml."
    if spec.pad_id >= tokenizer.vocabulary_size:
        detail = f"pad_id {spec.pad_id} is outside its vocabulary of {tokenizer.vocabulary_size}."
        return Finding("tokenizer", spec.file, False, detail, mend.format(key="pad_id"))
    stated = _stated(card.path_of(spec.file).with_name(TOKENIZER_CONFIG_FILE))
    token, window = token_text(stated.get("pad_token")), stated.get("model_max_length")
    known = Tokenizer.from_file(str(card.path_of(spec.file))).token_to_id(token) if token is not None else None
    if known is not None and known != spec.pad_id:
        detail = f"Its padding token {token} has the id {known}, the card says {spec.pad_id}."
        return Finding("tokenizer", spec.file, False, detail, mend.format(key="pad_id"))
    if isinstance(window, int) and spec.max_tokens > window:
        detail = f"Its authors read {window} tokens, the card says {spec.max_tokens}."
        return Finding("tokenizer", spec.file, False, detail, mend.format(key="max_tokens"))
    specials = len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
    detail = f"It loads, cuts at {spec.max_tokens} tokens and adds {specials} to a text; the known text has {len(ids)}."
    return Finding("tokenizer", spec.file, True, detail)


def _stated(file: Path) -> dict[str, object]:
    """What the repository says beside its tokenizer; empty where it says nothing that can be read."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def token_text(token: object) -> str | None:
    """A special token's text: it is written as a text, or as a table with its settings. None for anything else,
    half a surrogate pair too, which JSON can spell and no vocabulary has."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and not any("\ud800" <= one <= "\udfff" for one in token) else None
