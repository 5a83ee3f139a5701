"""Late chunking (Günther et al., arXiv:2409.04701): all inputs are one document, and each vector is the mean of its
part's token vectors in the context of the whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.batching.call import RowValue
from gateway.cards.tasks import TaskChoice, task_of_text
from gateway.cards.triton_spec import OutputRole
from gateway.errors import InvalidField
from gateway.service.deadlines import before
from gateway.service.public_model import PublicModel
from gateway.text.documents import Document, document_parts, read_document
from gateway.text.task_route import task_route
from gateway.text.windows import spans_within, windows
from gateway.types import Float32Array, Input, OwnPrefixes, RowGroup, RowOutput, StageSeconds, TokenRow
from gateway.vectors.checking import invalid_rows

# Of a window that is smaller than the model's own, neighbours share a quarter at most.
_LARGEST_OVERLAP = 4


@dataclass(frozen=True, slots=True)
class LateChunks:
    """`vectors` is float32 [inputs, size]: means, neither cut nor of unit length. `token_count` is what was computed,
    with the prefix and, in a document of several windows, with what they share."""

    vectors: Float32Array
    token_count: int
    stages: StageSeconds


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """A document as the model computes it. `rows` has one row a window; `parts_of_row` the numbers of the parts that
    its spans are of, in order; `counts` is int64 [parts], the tokens of each."""

    rows: Sequence[TokenRow]
    parts_of_row: Sequence[npt.NDArray[np.intp]]
    counts: npt.NDArray[np.int64]

    def means(self, sums: Sequence[RowValue]) -> Float32Array:
        """float32 [parts, size], from each row's sums over its spans, float64 [spans, size].

        Raises `InvalidVector` for a part whose mean is no vector.
        """
        total = np.zeros((len(self.counts), sums[0].shape[1]))
        for parts, values in zip(self.parts_of_row, sums, strict=True):
            total[parts] += values
        vectors = (total / self.counts[:, None]).astype(np.float32)
        for error in invalid_rows(vectors).values():
            raise error
        return vectors


class LateChunking:
    """Late chunking by the models that can: those that pool by the mean."""

    def __init__(self, *, own_prefixes: OwnPrefixes) -> None:
        self._own_prefixes = own_prefixes

    async def vectors(
        self, model: PublicModel, inputs: Sequence[Input], *, choice: TaskChoice, deadline: float, caller: str = ""
    ) -> LateChunks:
        """One vector per input, in order.

        Raises `InvalidField` for a model that cannot, or an input that has no text of its own, `TokenLimitExceeded` for
        more tokens than a request may have, and what the scheduler raises.
        """
        check_ability(model)
        started = time.monotonic()
        async with before(deadline):
            parts = await document_parts(model.reader, inputs)
            task = task_of_text(model.card.tasks, choice, parts[0], own_prefixes=self._own_prefixes)
            member = model.member_for(task.task)
            document = await read_document(model.reader, parts, prefix=task.prefix)
        group, adapter = task_route(member.card, task.task, output=RowOutput.SPAN_SUMS)
        rows = document_rows(
            document,
            group=group,
            adapter=adapter,
            max_tokens=model.reader.tokenizer.max_tokens,
            overlap=_overlap_tokens(model),
        )
        tokenized = time.monotonic()
        outcome = await member.scheduler.submit(rows.rows, deadline=deadline, caller=caller)
        return LateChunks(
            vectors=rows.means(outcome.values),
            token_count=sum(row.token_count for row in rows.rows),
            stages=StageSeconds(tokenize=tokenized - started, queue=outcome.queue_seconds, infer=outcome.infer_seconds),
        )


def check_ability(model: PublicModel) -> None:
    """Raises `InvalidField` for a model with which a part of a document has no vector of its own."""
    card = model.card
    if not card.embedding.may_chunk_late:
        raise InvalidField(
            f"{model.name} cannot chunk late: its vector is that of a single token, not the mean of all of them. "
            "Please leave 'late_chunking' out, or name a model that pools by the mean.",
            param="late_chunking",
            code="late_chunking_unavailable",
        )
    if all(card.triton.output(role) is None for role in (OutputRole.TOKEN_EMBEDDINGS, OutputRole.SPAN_SUMS)):
        raise InvalidField(
            f"{model.name} cannot chunk late here: its graph gives no token vectors. Please leave 'late_chunking' out, "
            "or name another model.",
            param="late_chunking",
            code="late_chunking_unavailable",
        )


def _overlap_tokens(model: PublicModel) -> int:
    """What windows share: less in a window that the operator made smaller, where it might be all of one."""
    own, window = model.card.embedding.overlap_tokens, model.reader.tokenizer.max_tokens
    return own if window == model.card.tokenizer.max_tokens else min(own, window // _LARGEST_OVERLAP)


def document_rows(
    document: Document, *, group: RowGroup, max_tokens: int, overlap: int, adapter: int | None = None
) -> DocumentRows:
    """A document as rows of at most `max_tokens`. Windows after the first have no start token and no prefix, as in the
    reference implementation (jina-ai/late-chunking)."""
    rows, parts_of_row = [], []
    for window in windows(len(document.ids), max_tokens=max_tokens, overlap=overlap):
        parts, spans = spans_within(document.spans, window)
        ids = document.ids[window.start : window.end]
        rows.append(TokenRow(ids, group=group, spans=spans, adapter=adapter))
        parts_of_row.append(parts)
    return DocumentRows(rows, parts_of_row, document.spans[:, 1] - document.spans[:, 0])
