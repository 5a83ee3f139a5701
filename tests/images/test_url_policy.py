"""The setting says which hosts images come from, and a URL is read in one way only."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.images.url_policy import RefusedUrl, UrlPolicy


def allows(setting: str, url: str) -> bool:
    try:
        UrlPolicy.parse(setting).check(url)
    except RefusedUrl:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "authority", "read"),
    [
        ("http://Example.COM", "example.com", "http://example.com/"),
        ("https://example.com.:443/a?b=c#d", "example.com", "https://example.com/a?b=c"),
        ("http://example.com:443/", "example.com:443", "http://example.com:443/"),
        (
            "http://b\u00fccher.example/\u00fc?\u00f6",
            "xn--bcher-kva.example",
            "http://xn--bcher-kva.example/%C3%BC?%C3%B6",
        ),
        ("http://93.184.215.14/", "93.184.215.14", "http://93.184.215.14/"),
        ("http://[2606:2800:021F::0001]:80/", "[2606:2800:21f::1]", "http://[2606:2800:21f::1]/"),
        ("  http://example.com/a b%20c  ", "example.com", "http://example.com/a%20b%20c"),
        ("http://my_bucket.example/%7Ea", "my_bucket.example", "http://my_bucket.example/%7Ea"),
        ("http://example.com?a=http://x/", "example.com", "http://example.com/?a=http://x/"),
    ],
)
def test_a_url_is_read_as_browsers_read_it(url: str, authority: str, read: str) -> None:
    target = UrlPolicy.parse("public").check(url)
    assert (target.authority, target.url) == (authority, read)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "http://example.com"]))
def test_any_text_is_read_or_refused(text: str, start: str) -> None:
    try:
        target = UrlPolicy.parse("public").check(start + text)
    except RefusedUrl:
        return
    assert target.host.isascii()
    assert target.path.isascii()
    assert target.path.isprintable()
    assert " " not in target.path + target.host
    # What was read once is read the same again: no second meaning is left in it.
    assert UrlPolicy.parse("public").check(target.url) == target


@pytest.mark.parametrize(
    ("setting", "url", "allowed"),
    [
        ("public", "http://any.example/", True),
        ("public", "http://any.example:8080/", False),
        ("PUBLIC", "https://any.example/", True),
        ("off", "http://any.example/", False),
        ("", "http://any.example/", False),
        ("a.example", "http://a.example/", True),
        ("A.Example.", "https://a.example./", True),
        ("a.example", "http://a.example:8080/", False),
        ("a.example:8080", "http://a.example:8080/", True),
        ("a.example:8080", "http://a.example/", False),
        ("a.example", "http://b.a.example/", False),
        ("a.example", "http://xa.example/", False),
        ("*.a.example", "http://b.a.example/", True),
        ("*.a.example", "http://c.b.a.example/", True),
        ("*.a.example", "http://a.example/", False),
        ("*.a.example", "http://xa.example/", False),
        ("x.example, *.a.example", "http://x.example/", True),
        ("x.example,*.a.example", "http://y.example/", False),
        ("public, inner.example:8080+private", "http://any.example/", True),
        ("public, inner.example:8080+private", "http://inner.example:8080/", True),
        ("b\u00fccher.example", "http://xn--bcher-kva.example/", True),
        ("10.0.0.5+private", "http://10.0.0.5/", True),
        ("[fd00::5]:8080+private", "http://[fd00:0::5]:8080/", True),
    ],
)
def test_the_setting_decides(setting: str, url: str, allowed: bool) -> None:
    assert allows(setting, url) is allowed


@pytest.mark.parametrize(
    ("setting", "url", "address", "admitted"),
    [
        ("public", "http://a.example/", "8.8.8.8", True),
        ("public", "http://a.example/", "10.0.0.5", False),
        ("a.example", "http://a.example/", "10.0.0.5", False),
        ("a.example+private", "http://a.example/", "10.0.0.5", True),
        ("a.example+private", "http://a.example/", "8.8.8.8", True),
        ("a.example+private", "http://a.example/", "169.254.169.254", False),
        ("a.example+private", "http://a.example/", "fe80::1", False),
        ("public, a.example+private", "http://b.example/", "10.0.0.5", False),
        ("*.a.example+private", "http://b.a.example/", "127.0.0.1", True),
        ("169.254.1.1+private", "http://169.254.1.1/", "169.254.1.1", True),
        ("169.254.1.1", "http://169.254.1.1/", "169.254.1.1", False),
    ],
)
def test_addresses_that_a_host_may_have(setting: str, url: str, address: str, admitted: bool) -> None:
    assert UrlPolicy.parse(setting).check(url).admits(ip_address(address)) is admitted


@pytest.mark.parametrize(
    "setting",
    ["*", "https://a.example", "a.example/path", "user@a.example", "a b", "*.10.0.0.1", "public,off", "0x7f.1", "a..b",
     "a.example:port", "a.example?b", "+private", "fd00::1", "**.a.example", "a.*.example"],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_at_the_start(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_IMAGE_URLS") as caught:
        UrlPolicy.parse(setting)
    assert "public" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a.example/", "neither http nor https"),
        ("http://a:b@a.example/", "user name"),
        ("http://a.example:22/", "neither 80 nor 443"),
        ("http://" + "a" * 8200, "more than 8192 characters"),
        ("http://127.1/", "cannot be read"),
    ],
)
def test_a_refusal_says_why_and_what_to_do_without_the_url(url: str, words: str) -> None:
    with pytest.raises(RefusedUrl) as caught:
        UrlPolicy.parse("public").check(url)
    assert words in caught.value.reason
    assert caught.value.reason.endswith(". Send the file's bytes in base64 instead")
    assert "a.example" not in caught.value.reason


def test_a_host_too_long_for_any_name_is_not_looked_at_letter_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight thousand letters that each stand for eighteen would take the event loop 20 ms."""
    monkeypatch.setattr("gateway.images.url_policy.idna.encode", lambda *_, **__: pytest.fail("was looked at"))
    with pytest.raises(RefusedUrl, match="cannot be read"):
        UrlPolicy.parse("public").check("http://" + "\ufdfa" * 8000)
