"""What people copy from the page does what the page did, whatever their texts hold."""

from __future__ import annotations

import ast
import json
import subprocess
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.front_page.conftest import Showing
from tests.support.chromium import Tab

BASE = "http://127.0.0.1:8000/"
HOSTILE = [
    "it's",
    "'; rm -rf ~; echo '",
    '"quoted" and `backticks` and $(subshell) and ${API_KEY} and $HOME and !history',
    "back\\slash \\' \\n \\u0041 \\",
    "line\nbreak\r\nand\ttab",
    "\u0000\u0001\u001b[31m\u007f\u0085",
    "\u2028 and \u2029",
    "right to left \u202e gpj.exe \u2066isolated\u2069",
    "👩\u200d🚀 \U000e0041 \U0001f600",
    "</script><img src=x onerror=alert(1)>",
    "{braces} %s %(x)s {0}",
    "@/etc/passwd",
    "-H evil: header",
    "",
]
BODY: dict[str, Any] = {"model": "m'o\"d", "task": "retrieval.query", "dimensions": 32, "input": HOSTILE}
RANKING: dict[str, Any] = {"model": "m", "query": 'it\'s "that"', "return_documents": False, "documents": HOSTILE}
TOKENS: dict[str, Any] = {"model": "m", "return_multivector": True, "input": HOSTILE}
CASES = [("v1/embeddings", BODY), ("v1/rerank", RANKING), ("v1/embeddings", TOKENS)]


@pytest.fixture(scope="module")
def tab(showing: Showing) -> Iterator[Tab]:
    with showing(ready=False) as shown:
        yield shown.tab


def written(tab: Tab, function: str, path: str, body: dict[str, Any], *, has_key: bool = False) -> str:
    request = {"base": BASE, "path": path, "body": body, "hasKey": has_key}
    return str(tab.call("request_text.js", function, request))


def words_of(command: str) -> list[str]:
    """What a shell makes of `curl ...`: its arguments."""
    script = f'curl() {{ printf "%s\\0" "$@"; }}\nAPI_KEY=secret\n{command}'
    found = [
        subprocess.run([*shell, script], capture_output=True, check=True, timeout=20).stdout.decode().split("\0")[:-1]
        for shell in (("sh", "-c"), ("bash", "-euo", "pipefail", "-c"))
    ]
    assert found[0] == found[1]
    return found[0]


def call_of(source: str, name: str) -> dict[str, Any]:
    """The arguments by name of the call to a method of this name, as Python reads them."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    [call] = [one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == name]
    return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords if one.arg != "headers"}


def sent_by_javascript(tab: Tab, source: str) -> dict[str, Any]:
    """What the code hands to `fetch`."""
    stub = (
        "const fetch = async (url, options) => { sent = {url, ...options}; return {ok: true, json: async () => ({})} };"
    )
    process = "const process = {env: {API_KEY: 'secret'}};"
    sent: dict[str, Any] = tab.evaluate(f"(async () => {{ let sent; {stub} {process} {source}\n return sent; }})()")
    return sent


@pytest.mark.parametrize(("path", "body"), CASES)
@pytest.mark.parametrize("has_key", [False, True])
def test_curl_sends_the_same(tab: Tab, path: str, body: dict[str, Any], has_key: bool) -> None:
    words = words_of(written(tab, "asCurl", path, body, has_key=has_key))
    key = ["-H", "Authorization: Bearer secret"] if has_key else []
    assert words[:-1] == [BASE + path, "-H", "Content-Type: application/json", *key, "-d"]
    assert json.loads(words[-1]) == body


@pytest.mark.parametrize(
    "body", [BODY, {"model": "m", "input": ["a", "b"], "late_chunking": True, "input_type": "document"}]
)
def test_python_sends_the_same_by_the_official_client(tab: Tab, body: dict[str, Any]) -> None:
    source = written(tab, "asPython", "v1/embeddings", body)
    arguments = call_of(source, "create")
    extra = arguments.pop("extra_body")
    assert arguments | extra == body
    assert set(arguments) <= {"model", "input", "dimensions"}
    assert f'base_url="{BASE}v1"' in source


@pytest.mark.parametrize(("path", "body"), CASES[1:])
def test_python_sends_the_same_where_the_official_client_cannot(tab: Tab, path: str, body: dict[str, Any]) -> None:
    source = written(tab, "asPython", path, body)
    assert call_of(source, "post") == {"json": body, "timeout": 60}
    assert f'"{BASE}{path}"' in source


@pytest.mark.parametrize(("path", "body"), CASES)
@pytest.mark.parametrize("has_key", [False, True])
def test_javascript_sends_the_same(tab: Tab, path: str, body: dict[str, Any], has_key: bool) -> None:
    sent = sent_by_javascript(tab, written(tab, "asJavaScript", path, body, has_key=has_key))
    assert (sent["url"], sent["method"]) == (BASE + path, "POST")
    assert json.loads(sent["body"]) == body
    assert sent["headers"].get("Authorization") == ("Bearer secret" if has_key else None)


@pytest.mark.parametrize("function", ["asCurl", "asPython", "asJavaScript"])
def test_nothing_invisible_is_written(tab: Tab, function: str) -> None:
    text = written(tab, function, "v1/embeddings", BODY).replace("\n", "")
    assert {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")} == set()


@pytest.mark.parametrize("function", ["asCurl", "asPython", "asJavaScript"])
def test_a_key_is_the_readers_own_to_fill_in(tab: Tab, function: str) -> None:
    assert "API_KEY" in written(tab, function, "v1/embeddings", BODY | {"input": ["a"]}, has_key=True)
    assert "API_KEY" not in written(tab, function, "v1/embeddings", BODY | {"input": ["a"]})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_any_text_arrives(tab: Tab, texts: list[str]) -> None:
    body = {"model": "m", "input": texts}
    assert json.loads(words_of(written(tab, "asCurl", "v1/embeddings", body))[-1]) == body
    assert call_of(written(tab, "asPython", "v1/embeddings", body), "create") == body
    assert json.loads(sent_by_javascript(tab, written(tab, "asJavaScript", "v1/embeddings", body))["body"]) == body


def test_half_a_character_is_written_as_json_has_it(tab: Tab) -> None:
    """A text field can hold one; the gateway refuses it, the code has to stay readable."""
    texts = "[String.fromCharCode(0xd800), 'a']"
    command = tab.evaluate(
        f"import('/page-assets/request_text.js').then(({{asCurl}}) => "
        f"asCurl({{base: '{BASE}', path: 'v1/embeddings', body: {{input: {texts}}}, hasKey: false}}))"
    )
    assert json.loads(words_of(command)[-1]) == {"input": ["\ud800", "a"]}


@pytest.mark.parametrize(
    ("typed", "paragraphs", "texts"),
    [
        ("a\nb\r\n\r\n  c  \n", False, ["a", "b", "c"]),
        ("a\nb\n\n \t\n c\r\n\r\nd", True, ["a\nb", "c", "d"]),
        (" \n\t\n", False, []),
        ("", True, []),
    ],
)
def test_texts_are_told_apart(tab: Tab, typed: str, paragraphs: bool, texts: list[str]) -> None:
    assert tab.call("texts.js", "separateTexts", typed, {"paragraphs": paragraphs}) == texts


def test_a_document_of_one_line_is_cut_into_sentences(tab: Tab) -> None:
    assert tab.call("texts.js", "documentParts", "One. Two is here!  And three?") == [
        "One.",
        "Two is here!",
        "And three?",
    ]
    assert tab.call("texts.js", "documentParts", "One. Two.\nThree.") == ["One. Two.", "Three."]


def test_what_is_clipped_is_cut_between_characters(tab: Tab) -> None:
    assert tab.call("elements.js", "clipped", "ab😀cd", 3) == "ab…"
    assert tab.call("elements.js", "clipped", "ab😀cd", 4) == "ab😀…"
    assert tab.call("elements.js", "clipped", " a\n b ", 10) == "a b"
    assert tab.call("elements.js", "clipped", "x" * 1_000_000, 5) == "xxxxx…"
