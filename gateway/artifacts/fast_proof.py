"""Whether a model may be served fast on this machine, found out by computing: its vectors in bfloat16 beside those in
float32, alone and in batches. It takes seconds, so the lock keeps it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.fast_machine import this_machine
from gateway.artifacts.inference import Array, Batch, GraphRun, feeds_of, padded, results_of
from gateway.artifacts.lock import write_lock
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.artifacts.pulling import PULL_LOCK_FILE
from gateway.artifacts.sample_texts import sample_texts
from gateway.cards.installation import FastProof, Installation, read_installation
from gateway.cards.precision import why_not_fast
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from gateway.text.canary_row import canary_row
from gateway.triton.embedded.backend_directory import OUR_BACKENDS
from gateway.types import FAST_BLOCK_TOKENS, FAST_MIN_COSINE, Float64Array, Int64Array

# Between a text's values alone and in a batch.
MAX_SPREAD = 1e-5
# Texts of a batch.
ROWS_A_BATCH = 8
# The square of its length is what a row costs.
LONGEST_SAMPLE_TOKENS = 2048
# Gigabytes are read and compiled.
ANSWER_SECONDS = 900.0


def proved_fast(card: Card) -> FastProof:
    """The proof for this machine: the lock's, or one that is made now and written there.

    Raises `ArtifactError` for a model that may not be served fast here, with the reason.
    """
    reason = why_not_fast(card)
    if reason is not None:
        raise ArtifactError(f"{card.name} is not served fast: {reason}.")
    installation = read_installation(card)
    if not installation.batch_invariant:
        raise ArtifactError(
            f"{card.name} is not served fast: its {installation.variant} variant is not batch-invariant."
        )
    if installation.fast is not None and installation.fast.machine == this_machine():
        return installation.fast
    proof = prove_fast(card)
    _note(card, installation, proof)
    return proof


def prove_fast(card: Card) -> FastProof:
    """Compute sample texts both ways. Raises `ArtifactError` where they differ by more than may be, or cannot be
    computed."""
    rows, longest = _rows(card)
    pad_id = card.tokenizer.pad_id
    alone = [padded([row], pad_id=pad_id) for row in (*rows, longest)]
    # Of eight, so that all but one have neighbours of other lengths; the longest with one of the shortest.
    together = [
        padded(rows[start : start + ROWS_A_BATCH], pad_id=pad_id) for start in range(0, len(rows), ROWS_A_BATCH)
    ]
    together.append(padded([longest, rows[0]], pad_id=pad_id))
    run = GraphRun(card, graph_path(card))
    exact = np.concatenate([run.results(batch) for batch in alone])
    fast = _fast_results(card, [*alone, *together])
    single = np.concatenate(fast[: len(alone)])
    batched = np.concatenate(fast[len(alone) :])[: len(alone)]
    proof = FastProof(
        min_cosine=float((exact * single).sum(axis=1).min()),
        spread=float(np.abs(single - batched).max()),
        machine=this_machine(),
    )
    _refuse(card, proof)
    return proof


def _refuse(card: Card, proof: FastProof) -> None:
    # Written so that NaN fails.
    if not proof.min_cosine >= FAST_MIN_COSINE:
        raise ArtifactError(
            f"{card.name} is not served fast: in bfloat16 a sample text's vector has a cosine of "
            f"{proof.min_cosine:.6f} with the exact one; {FAST_MIN_COSINE} is the least."
        )
    if not proof.spread <= MAX_SPREAD:
        raise ArtifactError(
            f"{card.name} is not served fast: on this processor a batch changes a text's vector by {proof.spread:.0e} "
            f"in bfloat16; {MAX_SPREAD:.0e} is the most."
        )


def _rows(card: Card) -> tuple[list[Int64Array], Int64Array]:
    """The canary and samples; and a row as long as the window, as far as that can be paid for: positions that are
    computed in bfloat16 go wrong beyond 256, and padding may reach beyond a window that is no multiple of a block."""
    tokenizer = load_tokenizer(card)
    rows = [canary_row(card, tokenizer).ids, *(one.ids for one in tokenizer.encode(sample_texts()) if len(one.ids))]
    window = card.tokenizer.max_tokens
    rows = [row[:window] for row in rows]
    whole = window if window % FAST_BLOCK_TOKENS else min(window, LONGEST_SAMPLE_TOKENS)
    return rows, np.resize(max(rows, key=len), whole)


def _fast_results(card: Card, batches: Sequence[Batch]) -> list[Float64Array]:
    output = card.triton.embedding_output
    assert output is not None
    calls = {
        f"{number}/{name}": array
        for number, batch in enumerate(batches)
        for name, array in feeds_of(card, batch).items()
    }
    answers = _answers(card, calls, output.tensor.name, count=len(batches))
    return [
        results_of(card, output.role, values, batch, name=card.name)
        for values, batch in zip(answers, batches, strict=True)
    ]


def _answers(card: Card, calls: dict[str, Array], output: str, *, count: int) -> list[Array]:
    """In a process of its own: neither the package nor a crash in it gets into this one."""
    backend = OUR_BACKENDS / "onnxruntime"
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "calls.npz", Path(folder) / "answers.npz"
        np.savez(given, **calls)
        command = [sys.executable, "-m", "onnxruntime_backend.openvino_answers", str(graph_path(card))]
        try:
            ended = subprocess.run(
                [*command, output, str(given), str(answered)],
                env={**os.environ, "PYTHONPATH": str(backend)},
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ArtifactError(f"{card.name} could not be computed in bfloat16: {type(error).__name__}.") from error
        if ended.returncode:
            reason = next(iter(reversed(ended.stderr.strip().splitlines())), f"exit code {ended.returncode}")
            raise ArtifactError(f"{card.name} could not be computed in bfloat16: {reason}")
        with np.load(answered) as arrays:
            return [arrays[str(number)] for number in range(count)]


def _note(card: Card, installation: Installation, proof: FastProof) -> None:
    """Into the lock, where it can be written and is still that of the files that were proved: else it is proved again
    at the next start."""
    with contextlib.suppress(ArtifactError, OSError), exclusive(card.path_of(PULL_LOCK_FILE), wait=False):
        if installation.files and read_installation(card) == installation:
            write_lock(card, replace(installation, fast=proof))
