"""Which headers let a request in, and that nothing inside is reached, or read, without one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis.strategies import characters, text
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import Unauthenticated
from gateway.middleware.auth import Auth, caller_name, presented_keys
from gateway.telemetry.callers import caller_of

KEYS = ("first-key", "zweiter-schlüssel")


class Inner:
    reached = False
    caller = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached = True
        self.caller = caller_of(scope)


async def untouched() -> Message:
    raise AssertionError("the body was read")


async def unsent(message: Message) -> None:
    raise AssertionError("something was sent")


async def enter(*headers: tuple[str, str], path: str = "/v1/embeddings", method: str = "GET") -> bool:
    return (await entered(*headers, path=path, method=method)).reached


async def entered(*headers: tuple[str, str], path: str = "/v1/embeddings", method: str = "GET") -> Inner:
    inner = Inner()
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await Auth(inner, keys=KEYS, open_paths=("/live",))(
        {"type": "http", "method": method, "path": path, "headers": raw}, untouched, unsent
    )
    return inner


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer first-key")],
        [("authorization", "bearer first-key")],
        [("authorization", "BEARER   first-key  ")],
        [("authorization", "Bearer zweiter-schlüssel")],
        [("api-key", "first-key")],
        [("x-api-key", "first-key")],
        [("authorization", "Bearer wrong"), ("api-key", "first-key")],
        [("authorization", ""), ("x-api-key", "first-key")],
        [("authorization", "Basic Zmlyc3Q="), ("api-key", "first-key")],
    ],
)
async def test_let_in(headers: list[tuple[str, str]]) -> None:
    assert await enter(*headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "first-key")],
        [("authorization", "Basic first-key")],
        [("authorization", "Bearer first-ke")],
        [("authorization", "Bearer first-key2")],
        [("authorization", "Bearer FIRST-KEY")],
        [("authorization", "Bearer first-key,zweiter-schlüssel")],
        [("api-key", "")],
        [("x-api-key", "wrong")],
        [("cookie", "first-key")],
    ],
)
async def test_kept_out(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await enter(*headers)
    assert "first-key" not in caught.value.message


async def test_more_than_four_keys_are_refused_and_none_of_them_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ("api-key", "wrong")
    assert await enter(wrong, ("x-api-key", ""), wrong, wrong, ("api-key", "first-key"))
    looked_at: list[bytes] = []
    monkeypatch.setattr(Auth, "_holder_of", lambda _, key: looked_at.append(key))
    for count in (5, 2_700):
        with pytest.raises(Unauthenticated, match="More than 4 API keys"):
            await enter(*[("api-key", "first-key")] * count)
    assert looked_at == []


async def test_open_paths_need_no_key() -> None:
    assert await enter(path="/live")
    assert await enter(path="/live", method="HEAD")
    with pytest.raises(Unauthenticated):
        await enter(path="/live", method="POST")
    with pytest.raises(Unauthenticated):
        await enter(path="/live/../v1/embeddings")


async def test_other_scopes_pass() -> None:
    inner = Inner()
    await Auth(inner, keys=KEYS, open_paths=())({"type": "lifespan"}, untouched, unsent)
    assert inner.reached


def test_keys_are_kept_as_digests_only() -> None:
    kept = repr(vars(Auth(Inner(), keys=KEYS, open_paths=())))
    assert not any(key in kept for key in KEYS)


def test_presented_keys_come_in_header_order() -> None:
    headers = [(b"api-key", b"a"), (b"authorization", b"Bearer b"), (b"x-api-key", b" c ")]
    assert list(presented_keys(headers)) == [b"a", b"b", b"c"]


async def test_a_caller_is_known_by_the_key_whatever_header_it_came_in() -> None:
    names = [
        (await entered(header)).caller
        for header in [("authorization", "Bearer first-key"), ("api-key", "first-key"), ("x-api-key", KEYS[1])]
    ]
    assert names == [caller_name(KEYS[0]), caller_name(KEYS[0]), caller_name(KEYS[1])]
    assert names[0] != names[2]


async def test_the_caller_is_that_of_the_right_key_among_wrong_ones() -> None:
    inner = await entered(("authorization", "Bearer wrong"), ("api-key", "first-key"), ("x-api-key", KEYS[1]))
    assert inner.caller == caller_name("first-key")


async def test_whoever_needs_no_key_has_no_name() -> None:
    assert (await entered(("api-key", "first-key"), path="/live")).caller == ""


@given(key=text(characters(exclude_categories=["Cs"]), min_size=1))
def test_a_callers_name_is_opaque_and_stable(key: str) -> None:
    name = caller_name(key)
    assert name == caller_name(key)
    assert len(name) == 32
    assert int(name, 16) >= 0
    assert name not in hashlib.sha256(key.encode()).hexdigest()


QUERY_PATH = "/v1beta/models/tiny:embedContent"


async def entered_by_query(query: bytes, *headers: tuple[bytes, bytes], path: str = QUERY_PATH) -> Inner:
    inner = Inner()
    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers), "query_string": query}
    await Auth(inner, keys=KEYS, open_paths=(), key_in_query=lambda path: path == QUERY_PATH)(scope, untouched, unsent)
    return inner


@pytest.mark.parametrize(
    "query", [b"key=first-key", b"alt=json&key=first-key", b"key=zweiter-schl%C3%BCssel", b"key=wrong&key=first-key"]
)
async def test_where_it_is_allowed_a_key_may_be_in_the_query(query: bytes) -> None:
    assert (await entered_by_query(query)).reached


@pytest.mark.parametrize(
    ("query", "path"),
    [
        (b"", QUERY_PATH), (b"key=", QUERY_PATH), (b"key=wrong", QUERY_PATH), (b"keys=first-key", QUERY_PATH),
        (b"&".join([b"a=1"] * 40) + b"&key=first-key", QUERY_PATH), (b"key=wrong&" * 4 + b"key=first-key", QUERY_PATH),
        (b"key=first-key", "/v1/embeddings"),
    ],
)  # fmt: skip
async def test_no_other_query_lets_in(query: bytes, path: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await entered_by_query(query, path=path)
    assert "first-key" not in caught.value.message


async def test_a_caller_is_the_same_by_googles_header_and_by_the_query() -> None:
    names = {(await entered_by_query(b"key=first-key")).caller}
    names.add((await entered_by_query(b"", (b"x-goog-api-key", b"first-key"))).caller)
    names.add((await entered(("authorization", "Bearer first-key"))).caller)
    assert names == {caller_name("first-key")}
