"""Whether `tokenizer.json` alone gives the ids that the model's authors get: their libraries read its other files too,
and rewrite the tokenizer by what those say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from gateway.artifacts.adding.card_text import CANARY_TEXT
from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.plan import TOKENIZER_FILE
from gateway.artifacts.adding.published import Document, Fact, Published, joined
from gateway.artifacts.adding.refusal import TELL_AUTHORS, USE_THEIR_LIBRARY, CannotServe
from gateway.artifacts.tokenizer_check import token_text

# Classes that put or leave out start and end tokens by their own flags, whatever tokenizer.json says.
_REWRITING = ("Llama", "CodeLlama", "Gemma", "Cohere")
# Classes that lower-case by their own flag, whatever tokenizer.json says.
_CASE_REWRITING = ("Bert", "DistilBert", "Electra", "MPNet", "MobileBert")
# The largest vocabularies, of a quarter of a million tokens, take some 35 MB.
MAX_TOKENIZER_BYTES = 128 << 20
_PROBE = "A probe of a few words"


def find_tokenizer(published: Published, folder: str, config: Fact[Document]) -> str:
    """The path of `tokenizer.json`. Raises `CannotServe` where there is none."""
    path = joined(folder, TOKENIZER_FILE)
    if published.has(path):
        return path
    if isinstance(config.value.get("auto_map"), dict):
        what = "its tokenizer is code of the repository's own, which is not run here"
    else:
        what = "it has its tokenizer in another form"
    raise CannotServe(
        f"The repository has no {path}: {what}.",
        remedy="Where transformers can convert it, AutoTokenizer.from_pretrained(REPO).save_pretrained(FOLDER) writes "
        "one; publish it with the model in a repository of your own.",
    )


def check_tokenizer(file: Path, *, config: Fact[Document], stage: Fact[Document], feeds_types: bool) -> Tokenizer:
    """The tokenizer, once it is certain that it gives the authors' ids by itself.

    `stage` are the transformer stage's settings. `feeds_types`: the graph takes `token_type_ids`, which are zeros here.
    Raises `CannotServe` naming the setting that it does not follow.
    """
    text, tokenizer = _loaded(file)
    lowers = any(_lowering(json.loads(text).get("normalizer")))
    _check_case(lowers, config=config, stage=stage)
    _check_ends(tokenizer, config)
    if feeds_types and any(tokenizer.encode(_PROBE).type_ids):
        raise CannotServe(
            f"{TOKENIZER_FILE} gives texts another token type than 0, the only one that is fed here.",
            remedy=USE_THEIR_LIBRARY,
        )
    return tokenizer


def _loaded(file: Path) -> tuple[str, Tokenizer]:
    """The file's text, and its tokenizer once it has read the text that it will be proved by."""
    size = file.stat().st_size
    if size > MAX_TOKENIZER_BYTES:
        raise CannotServe(f"{TOKENIZER_FILE} has {size} bytes, too many for a vocabulary.", remedy=TELL_AUTHORS)
    try:
        text = file.read_text(encoding="utf-8")
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode(CANARY_TEXT)
    except BaseException as error:
        # tokenizers raises bare Exception for every fault of the file, and a panic, which is none, where a pattern of
        # it takes for ever.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CannotServe(f"{TOKENIZER_FILE} cannot be loaded: {str(error)[:200]}", remedy=TELL_AUTHORS) from error
    return text, tokenizer


def choose_pad_id(tokenizer: Tokenizer, *, config: Fact[Document], model: ModelConfig) -> Fact[int]:
    """The id that fills rows up. Masked, it changes no vector, but it has to be in the vocabulary."""
    token = token_text(config.value.get("pad_token"))
    known = tokenizer.token_to_id(token) if token is not None else None
    if known is not None:
        return Fact(known, f"{config.source}: {token}")
    if model.pad_token_id is not None and model.pad_token_id < tokenizer.get_vocab_size(with_added_tokens=True):
        return Fact(model.pad_token_id, model.path)
    return Fact(0, "no padding token is stated; any id serves, as padding is masked")


def _check_case(lowers: bool, *, config: Fact[Document], stage: Fact[Document]) -> None:
    if stage.value.get("do_lower_case") is True and not lowers:
        raise CannotServe(
            f"{stage.source} says that texts are lower-cased first (do_lower_case); {TOKENIZER_FILE} does not do it.",
            remedy="Publish it with a tokenizer.json that has a Lowercase normalizer.",
        )
    stated = config.value.get("do_lower_case")
    if isinstance(stated, bool) and stated != lowers and _is_of(config, _CASE_REWRITING):
        raise CannotServe(
            f"{config.source} says do_lower_case = {str(stated).lower()} and {TOKENIZER_FILE} does the opposite: "
            "transformers would follow the former, while only the latter is read here.",
            remedy="Save the tokenizer again with transformers, which makes the two agree, and publish that.",
        )


def _check_ends(tokenizer: Tokenizer, config: Fact[Document]) -> None:
    """Start and end tokens that flags ask for, and that only transformers' own classes would put there."""
    ids = tokenizer.encode(_PROBE).ids
    for flag, name, place in (("add_bos_token", "bos_token", 0), ("add_eos_token", "eos_token", -1)):
        wanted, token = config.value.get(flag), token_text(config.value.get(name))
        known = tokenizer.token_to_id(token) if token is not None else None
        if not isinstance(wanted, bool) or known is None:
            continue
        is_there = ids[place] == known
        if is_there != wanted and (wanted or _is_of(config, _REWRITING)):
            does = "does not put it there" if wanted else "puts one there"
            raise CannotServe(
                f"{config.source} says {flag} = {str(wanted).lower()}, and {TOKENIZER_FILE} {does}: the ids would "
                "be others than the authors'.",
                remedy="Save the tokenizer again with a transformers that writes this into tokenizer.json.",
            )


def _lowering(normalizer: object) -> Iterator[bool]:
    if isinstance(normalizer, dict):
        yield normalizer.get("type") == "Lowercase"
        yield normalizer.get("type") == "BertNormalizer" and normalizer.get("lowercase") is True
        for part in normalizer.get("normalizers") or ():
            yield from _lowering(part)


def _is_of(config: Fact[Document], families: tuple[str, ...]) -> bool:
    return str(config.value.get("tokenizer_class") or "").startswith(families)
