"""Which content type a caller would rather have."""

from __future__ import annotations

import pytest

from gateway.dialects.accept import preferred_type

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (BROWSER, "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("application/json;q=0.4, text/html;q=0.6", "text/html"),
        ("text/html;q=0, application/json;q=0.1", "application/json"),
        ("text/html;q=much", "other"),
        ("*/*", "other"),
        ("text/plain", "other"),
        ("image/png", "other"),
        ("", "other"),
        (",;,", "other"),
        (None, "other"),
    ],
)
def test_preference(header: str | None, wanted: str) -> None:
    headers = [] if header is None else [(b"accept", header.encode())]
    assert preferred_type({"headers": headers}, ("text/html", "application/json"), otherwise="other") == wanted


def test_several_headers_are_one() -> None:
    headers = [(b"accept", b"text/html;q=0.5"), (b"accept", b"application/json")]
    assert preferred_type({"headers": headers}, ("text/html", "application/json"), otherwise="") == "application/json"
