"""A server under test that speaks OpenAI's embeddings API: where it is, what it calls the model, how it is asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from gateway.bench.connection import Connection, get, post
from gateway.errors import ConfigurationError
from gateway.types import Float32Array

GATEWAY = "gateway"
VARIANT_PREFIX = "gateway-"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """`path` is that of the embeddings API. `pid` is the server's process where it runs on this machine and is known.

    `base64` says whether vectors are asked for in base64; a server that refuses it is asked for numbers.
    """

    name: str
    host: str
    port: int
    path: str
    model: str
    tls: bool = False
    key: str | None = None
    base64: bool = True
    pid: int | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self._host_field}{self.path}"

    @property
    def _host_field(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def connect(self) -> Connection:
        return await Connection.open(self.host, self.port, tls=self.tls)

    def body(self, texts: str | Sequence[str]) -> bytes:
        fields = {"model": self.model, "input": texts if isinstance(texts, str) else list(texts)}
        return json.dumps(fields | ({"encoding_format": "base64"} if self.base64 else {})).encode()

    def request(self, texts: str | Sequence[str]) -> bytes:
        """A POST to the embeddings API, ready to be sent over and over."""
        return post(self.path, self.body(texts), host=self._host_field, key=self.key)

    def page(self, path: str) -> bytes:
        """A GET of another page of the same server."""
        return get(path, host=self._host_field, key=self.key)


def is_own(name: str) -> bool:
    """Whether a contender of that name is a gateway of ours: the measured one, or one with other settings beside it."""
    return name == GATEWAY or name.startswith(VARIANT_PREFIX)


def target_at(url: str, *, name: str, model: str, key: str | None = None) -> Target:
    """The server that `url` names: the whole path of its embeddings API, or what comes before `/v1/embeddings`.

    Raises `ConfigurationError` for what is no URL of a server.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        parts, port = urlsplit(""), None
    if port is None or not parts.hostname:
        raise ConfigurationError(
            f"The address of {name} is no URL of a server.", remedy="Write it like http://127.0.0.1:7997/v1"
        )
    path = embeddings_path(parts.path)
    return Target(name, parts.hostname, port, path, model, tls=parts.scheme == "https", key=key)


def embeddings_path(path: str) -> str:
    """`/embeddings` and anything that ends so as it is; `/v1` and below it the API's usual place."""
    bare = path.rstrip("/")
    if bare.endswith("/embeddings"):
        return bare
    return f"{bare}/embeddings" if bare.endswith("/v1") else f"{bare}/v1/embeddings"


def vectors(body: bytes) -> Float32Array:
    """float32 [inputs, dimensions] in input order out of an answer in OpenAI's shape, base64 or numbers.

    Raises `ValueError` for anything else.
    """
    try:
        items = sorted(json.loads(body)["data"], key=lambda item: item["index"])
        return np.stack([_vector(item["embedding"]) for item in items])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("the answer is none of OpenAI's embeddings API") from error


def _vector(embedding: str | list[float]) -> Float32Array:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.asarray(embedding, np.float32)
