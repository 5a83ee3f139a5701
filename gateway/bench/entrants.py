"""Servers before a run: asked once, so that a wrong address or model is told at the start and not after an hour."""

from __future__ import annotations

import asyncio
import dataclasses
import json

from gateway.bench.closed_loop import NETWORK_FAULTS
from gateway.bench.processes import listener_on
from gateway.bench.target import Target, vectors
from gateway.errors import ConfigurationError

PROBE_SECONDS = 30.0
# What servers answer to a field that they do not know.
REFUSED = (400, 422)


def ready_to_start(target: Target) -> Target:
    """The target as it wants to be asked, with its process where that is on this machine.

    Raises `ConfigurationError` where it does not answer with a vector.
    """
    status, answer = _asked(target)
    if status in REFUSED and target.base64:
        target = dataclasses.replace(target, base64=False)
        status, answer = _asked(target)
    if status != 200:
        raise ConfigurationError(
            f"{target.name} answered {status} to a text for the model {target.model}.",
            remedy=f"Look at {target.url}; --model-of {target.name}=MODEL says what it calls the model, "
            f"--key-of {target.name}=VARIABLE where its key is.",
        )
    try:
        vectors(answer)
    except ValueError:
        raise ConfigurationError(f"{target.url} does not answer like OpenAI's embeddings API.") from None
    return target if target.pid is not None else dataclasses.replace(target, pid=listener_on(target.host, target.port))


def _asked(target: Target) -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        async with asyncio.timeout(PROBE_SECONDS):
            connection = await target.connect()
            try:
                return await connection.answer(target.request(["Hello, world"]))
            finally:
                connection.close()

    try:
        return asyncio.run(ask())
    except NETWORK_FAULTS as error:
        raise ConfigurationError(
            f"{target.name} cannot be asked at {target.url}: {type(error).__name__}.", remedy="Is it running?"
        ) from None


def served_precision(target: Target) -> str:
    """What `/v1/models` says that the model is computed in; empty where it says nothing."""

    async def ask() -> bytes:
        async with asyncio.timeout(PROBE_SECONDS):
            connection = await target.connect()
            try:
                return await connection.exchange(target.page("/v1/models"))
            finally:
                connection.close()

    try:
        models = json.loads(asyncio.run(ask()))["data"]
        found = [model.get("precision") for model in models if model.get("id") == target.model]
    except (*NETWORK_FAULTS, RuntimeError, KeyError, TypeError, AttributeError):
        return ""
    return found[0] if found and isinstance(found[0], str) else ""
