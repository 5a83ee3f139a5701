"""The only path of a rerank request: model, pairs, batch, the best piece of each document, score."""

from __future__ import annotations

import time

import numpy as np

from gateway.caching.shared_rows import Asker
from gateway.cards.schema import ModelKind
from gateway.service.deadlines import within
from gateway.service.input_limits import shorter_window
from gateway.service.input_meter import InputMeter
from gateway.service.public_model import PublicModel
from gateway.service.served_models import ServedModels
from gateway.telemetry.metrics import Metrics
from gateway.text.pair_reading import PairReader, PairRows
from gateway.text.pairs import PairWindow
from gateway.types import LongDocuments, RerankRequest, RerankResult, StageSeconds, Usage
from gateway.vectors.scores import sigmoid


class RerankingService:
    """Scores documents by a query, with the rerankers that are served. Implements `gateway.dialects.base.Reranker`."""

    def __init__(
        self, models: ServedModels, *, metrics: Metrics, long_documents: LongDocuments = LongDocuments.CHUNK
    ) -> None:
        """`long_documents` is for requests that leave it open."""
        self._models = models
        self._meter = InputMeter(metrics)
        self._long_documents = long_documents

    async def rerank(self, request: RerankRequest) -> RerankResult:
        """One score per document: the sigmoid of the model's logit, the largest where a document goes in pieces.

        Sigmoid and never softmax: the model has one logit, of which a softmax is 1 whatever it says. Raises the errors
        of `gateway.errors`; cancelling it drops the rows that have not been sent.
        """
        model = self._models.find(request.model, ModelKind.RERANKER)
        started = time.monotonic()
        rows = await within(request.deadline, self._rows(request, model))
        tokenized = time.monotonic()
        outcome = await model.member_for(None).shared.submit(rows.rows, Asker(request.deadline, caller=request.caller))
        logits = np.concatenate(outcome.values).astype(np.float32)
        best = np.maximum.reduceat(logits, rows.first_rows)
        self._meter.computed(
            model.name,
            inputs=len(rows.first_rows),
            tokens=rows.token_count,
            tokenize_seconds=tokenized - started,
        )
        return RerankResult(
            model=model.name,
            scores=sigmoid(best),
            logits=best,
            usage=Usage(prompt_tokens=rows.token_count, total_tokens=rows.token_count),
            stages=StageSeconds(tokenize=tokenized - started, queue=outcome.queue_seconds, infer=outcome.infer_seconds),
        )

    async def _rows(self, request: RerankRequest, model: PublicModel) -> PairRows:
        spec = model.card.reranking
        assert spec is not None  # of a reranker, which `find` was asked for
        reader = PairReader(
            model.reader,
            shorter_window(PairWindow.of(model.reader.tokenizer, spec), request.max_pair_tokens, model),
            long_documents=request.long_documents or self._long_documents,
            max_document_tokens=request.max_document_tokens,
        )
        return await reader.rows(request.query, request.documents, tokens_before=request.tokens_before)
