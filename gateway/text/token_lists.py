"""A text's tokens for people to look at: which part of the text each stands for, and its ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.text.tokenizer import OffsetTokens
from gateway.text.vocabularies import CL100K_FILE, read_ranks

if TYPE_CHECKING:
    import tiktoken

ListedToken = tuple[str, tuple[int, ...]]
"""A part of the text, and the ids of the tokens that it takes: several where a character takes more than one."""

# As published with the rank file, in tiktoken's own source (tiktoken_ext.openai_public).
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


class Cl100kEncoder:
    """cl100k_base, from the installed rank file in `folder` and without the network. Read at first use, so that it can
    be installed while the gateway runs; that takes about 0.5 s. Every method blocks and may run in any thread."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / CL100K_FILE
        self._encoding: tiktoken.Encoding | None = None

    @property
    def is_loaded(self) -> bool:
        return self._encoding is not None

    @property
    def is_installed(self) -> bool:
        return self.is_loaded or self._file.is_file()

    def load(self) -> None:
        """Raises `ConfigurationError` for a damaged file, `FileNotFoundError` where there is none."""
        import tiktoken  # here, because few callers ever need it

        if self._encoding is None:
            ranks = {token: rank for rank, token in read_ranks(self._file.read_bytes()).items()}
            # Control tokens are left out: in a text they are letters like any others.
            self._encoding = tiktoken.Encoding(
                "cl100k_base", pat_str=CL100K_PATTERN, mergeable_ranks=ranks, special_tokens={}
            )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text. `load` has to have been called."""
        assert self._encoding is not None
        return [self._encoding.encode_ordinary(text) for text in texts]

    def listed(self, ids: Iterable[int]) -> Iterator[ListedToken]:
        """The tokens of a text's ids; those that share a character are one."""
        assert self._encoding is not None
        data, together = b"", []
        for token in ids:
            data += self._encoding.decode_single_token_bytes(token)
            together.append(token)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue  # a character goes on in the next token
            yield text, tuple(together)
            data, together = b"", []


def listed(text: str, tokens: OffsetTokens) -> Iterator[ListedToken]:
    """A model's tokens of `text`, without the special ones; those that share a character are one. What its tokenizer
    drops, mostly white space, is in none."""
    ids = tokens.ids[tokens.leading : len(tokens.ids) - tokens.trailing].tolist()
    begin = end = 0
    together: list[int] = []
    for token, (first, last) in zip(ids, tokens.offsets.tolist(), strict=True):
        if together and first >= end and last > first:
            yield text[begin:end], tuple(together)
            together = []
        if not together:
            begin = end = first
        together.append(token)
        end = max(end, last)
    if together:
        yield text[begin:end], tuple(together)
