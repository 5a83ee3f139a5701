"""What late chunking has to give, in plain NumPy, from its reference description and nothing of the gateway's.

The description (jina-ai/late-chunking, and the rules for joints that the reference leaves open): put the parts
together, tokenize the instruction and the document once, run it through the model, in windows where it is longer than
one, and average each part's hidden states. The first part begins with the start token, the last ends with the end
token.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer

HiddenStates = Callable[[np.ndarray], np.ndarray]

_NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")


def late_chunks(
    hidden_states: HiddenStates,
    tokenizer: Tokenizer,
    parts: Sequence[str],
    *,
    instruction: str = "",
    max_tokens: int,
    overlap: int,
) -> np.ndarray:
    """float64 [parts, size], each of unit length. The tokenizer puts one start and one end token around a text."""
    means = raw_late_chunks(
        hidden_states, tokenizer, parts, instruction=instruction, max_tokens=max_tokens, overlap=overlap
    )
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def raw_late_chunks(
    hidden_states: HiddenStates,
    tokenizer: Tokenizer,
    parts: Sequence[str],
    *,
    instruction: str,
    max_tokens: int,
    overlap: int,
) -> np.ndarray:
    """As `late_chunks`, the means as they are."""
    text, owner = joined(parts, instruction)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = tokenizer.encode(text)
    ids = np.array(encoding.ids)
    hidden = _in_windows(hidden_states, ids, max_tokens=max_tokens, overlap=overlap)
    members: list[list[int]] = [[] for _ in parts]
    members[0].append(0)
    for token in range(1, len(ids) - 1):
        members[owner[encoding.offsets[token][0]]].append(token)
    for number in range(len(parts)):
        if not members[number]:
            own = {character for character, part in enumerate(owner) if part == number}
            members[number] = [t for t in range(1, len(ids) - 1) if own & set(range(*encoding.offsets[t]))]
    members[-1].append(len(ids) - 1)
    return np.stack([hidden[tokens].mean(axis=0) for tokens in members])


def token_count(tokenizer: Tokenizer, parts: Sequence[str], *, instruction: str = "") -> int:
    """Tokens of the whole document, special ones and instruction included."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(joined(parts, instruction)[0]).ids)


def joined(parts: Sequence[str], instruction: str) -> tuple[str, list[int]]:
    """The text, and for each of its characters the part that owns it: a space that was put in is the next part's."""
    text, owner = instruction, [0] * len(instruction)
    for number, part in enumerate(parts):
        if number and _needs_space(parts[number - 1][-1], part[0]):
            text, owner = text + " ", [*owner, number]
        text, owner = text + part, [*owner, *([number] * len(part))]
    return text, owner


def _needs_space(left: str, right: str) -> bool:
    if left.isspace() or right.isspace():
        return False
    return not all(unicodedata.name(letter, "").startswith(_NO_SPACES) for letter in (left, right))


def _in_windows(hidden_states: HiddenStates, ids: np.ndarray, *, max_tokens: int, overlap: int) -> np.ndarray:
    outputs: list[np.ndarray] = []
    for start in range(0, len(ids), max_tokens - overlap):
        window = ids[start : start + max_tokens]
        if start and len(window) <= overlap:
            break  # all of it was in the window before
        states = hidden_states(window)
        outputs.append(states[overlap:] if start else states)
    hidden = np.concatenate(outputs)
    assert len(hidden) == len(ids)
    return hidden
