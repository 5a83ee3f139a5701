"""A query and documents as the rows of a reranker; what is too long is refused as early as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from sys import maxsize

import numpy as np
import numpy.typing as npt

from gateway.errors import InvalidField
from gateway.text.pairs import PairWindow
from gateway.text.pool import slices
from gateway.text.reading import InputReader
from gateway.text.tokenizer import Tokenized, check_unicode
from gateway.types import LongDocuments, RowGroup, RowOutput, TokenRow

QUERY_FIELD = "query"
DOCUMENTS_FIELD = "documents"

_GROUP = RowGroup(output=RowOutput.LOGIT)


@dataclass(frozen=True, slots=True)
class PairRows:
    """`rows` are those of all documents, in order; `first_rows` is intp [documents], where each one's begin."""

    rows: Sequence[TokenRow]
    first_rows: npt.NDArray[np.intp]

    @property
    def token_count(self) -> int:
        return sum(row.token_count for row in self.rows)


class PairReader:
    """Reads pairs for one reranker, long documents in one of the two ways."""

    def __init__(
        self, reader: InputReader, window: PairWindow, *, long_documents: LongDocuments, max_document_tokens: int | None
    ) -> None:
        """`max_document_tokens`, special tokens left out, cuts documents before anything else."""
        self._reader = reader
        self._window = window
        self._in_pieces = long_documents is LongDocuments.CHUNK
        self._max_document_tokens = max_document_tokens or maxsize

    async def rows(self, query: str, documents: Sequence[str], *, tokens_before: int = 0) -> PairRows:
        """At least one row per document. `tokens_before` are those that the request has beside these.

        Raises `InvalidField` for a text that cannot be read, `TokenLimitExceeded` where all rows together have more
        tokens than a request may.
        """
        self._check(query, documents)
        most_of_query = self._window.max_query_tokens if self._in_pieces else self._window.max_tokens
        [query_tokens] = await self._read([query], most=most_of_query)
        rows: list[TokenRow] = []
        first_rows: list[int] = []
        total = tokens_before
        for run in slices(documents):
            for tokens in await self._read(run, most=self._most_of_document):
                first_rows.append(len(rows))
                own = self._rows_of(query_tokens, tokens)
                rows += own
                total += sum(map(len, (row.ids for row in own)))
            self._reader.check_total(total, at_least=len(first_rows) < len(documents), param=DOCUMENTS_FIELD)
        return PairRows(rows, np.array(first_rows, dtype=np.intp))

    @property
    def _most_of_document(self) -> int:
        """Tokens of a document that are needed: of one in pieces, no more than it takes to refuse it."""
        room = self._reader.limits.max_request_tokens if self._in_pieces else self._window.max_tokens
        return min(room, self._max_document_tokens)

    async def _read(self, texts: Sequence[str], *, most: int) -> list[Tokenized]:
        return await self._reader.pool.run(partial(self._reader.tokenizer.encode_bare, most=most), texts)

    def _rows_of(self, query: Tokenized, document: Tokenized) -> list[TokenRow]:
        if self._in_pieces:
            return [TokenRow(ids, group=_GROUP) for ids in self._window.pieces(query.ids, document.ids)]
        wanted = Tokenized(document.ids, token_count=min(document.token_count, self._max_document_tokens))
        return [TokenRow(self._window.truncated(query, wanted), group=_GROUP)]

    def _check(self, query: str, documents: Sequence[str]) -> None:
        if not query or query.isspace():
            raise InvalidField(
                "The query is empty: there is nothing to rank by.", param=QUERY_FIELD, code="empty_input"
            )
        if not documents:
            raise InvalidField("At least one document is needed.", param=DOCUMENTS_FIELD, code="empty_input")
        check_unicode(query, name="The query", param=QUERY_FIELD)
        for number, document in enumerate(documents):
            if not document and self._reader.limits.strict_empty:
                raise InvalidField(f"Document {number} is an empty string.", param=DOCUMENTS_FIELD, code="empty_input")
            check_unicode(document, name=f"Document {number}", param=DOCUMENTS_FIELD)
