"""Which URLs images may be fetched from: the setting read into rules, and each URL, redirects included, held to them.

A URL is taken apart once, here, and the request is made of these parts, so that no second parser can read it otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, urlsplit

import idna

from gateway.errors import ConfigurationError
from gateway.images.addresses import Address, is_private, is_public
from gateway.images.refusals import UnusableImage
from gateway.telemetry.metrics import ImageRefusal

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PUBLIC = "public"
_OFF = "off"
_PRIVATE_MARK = "+private"
_MAX_URL_LETTERS = 8192
_MAX_HOST_LETTERS = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# Resolvers read such names as IPv4 addresses in decimal, octal or hexadecimal.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_KEPT_IN_TARGET = "%/:?#[]@!$&'()*+,;=-._~"


class RefusedUrl(UnusableImage):
    """Nothing is fetched from there, by the setting or because it is no URL."""

    refusal = ImageRefusal.URL

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. Send the file's bytes in base64 instead")


@dataclass(frozen=True, slots=True)
class Target:
    """One URL in the parts that a request is made of. `host` is ASCII, in small letters, without a trailing dot and
    without brackets; `address` is it where it is one. `private` allows an address of the operator's network."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None
    private: bool = False

    @property
    def url(self) -> str:
        """Absolute, for resolving a redirect against it."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def admits(self, address: Address) -> bool:
        """Whether a connection to `address` may be made for this URL."""
        if self.private and (is_private(address) or address == self.address):
            return True
        return is_public(address)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One entry of an allow-list. `host` begins with a dot where it is meant for all names below."""

    host: str
    port: int | None
    private: bool

    def matches(self, host: str, port: int) -> bool:
        is_host = host.endswith(self.host) if self.host.startswith(".") else host == self.host
        return is_host and (port in _DEFAULT_PORTS.values() if self.port is None else port == self.port)


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """All hosts of the public internet, where `is_public`, and those that `rules` name."""

    is_public: bool
    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, setting: str) -> UrlPolicy:
        """The policy that `GATEWAY_IMAGE_URLS` says. Raises `ConfigurationError`."""
        entries = [part.strip().lower() for part in setting.split(",") if part.strip()]
        if entries == [_OFF]:
            return cls(is_public=False)
        rules = tuple(_rule(entry) for entry in entries if entry != _PUBLIC)
        return cls(is_public=_PUBLIC in entries, rules=rules)

    @property
    def is_off(self) -> bool:
        return not self.is_public and not self.rules

    def check(self, url: str) -> Target:
        """`url` in its parts. Raises `RefusedUrl`: nothing may be sent then. The address that the host's name stands
        for is still to be checked with `Target.admits`."""
        if self.is_off:
            raise RefusedUrl("is an image by URL, which this server does not fetch")
        target = _taken_apart(url.strip(" "))
        matching = [rule for rule in self.rules if rule.matches(target.host, target.port)]
        if matching:
            return replace(target, private=any(rule.private for rule in matching))
        if not self.is_public:
            raise RefusedUrl("has an image URL whose host is not among those that this server fetches images from")
        if target.port not in _DEFAULT_PORTS.values():
            raise RefusedUrl("has an image URL with a port that is neither 80 nor 443, which are the ones fetched from")
        return target


def _taken_apart(url: str) -> Target:
    if len(url) > _MAX_URL_LETTERS:
        raise RefusedUrl(f"has an image URL of more than {_MAX_URL_LETTERS} characters")
    if _FORBIDDEN.search(url):
        raise _no_url()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _no_url() from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise RefusedUrl("has an image URL that is neither http nor https")
    if "@" in parts.netloc:
        raise RefusedUrl("has an image URL with a user name or password, which are not sent")
    # `urlsplit` reads "host:" as no port, and so do browsers.
    host, address = _host(parts.hostname or "", is_bracketed="[" in parts.netloc)
    number = _DEFAULT_PORTS[parts.scheme] if port is None else port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        return Target(parts.scheme, host, number, quote(path, safe=_KEPT_IN_TARGET), address)
    except UnicodeEncodeError:
        raise _no_url() from None


def _host(text: str, *, is_bracketed: bool) -> tuple[str, Address | None]:
    """The host in the form it is compared and sent in, and its address where it is one."""
    if is_bracketed:
        return _bracketed(text)
    if len(text) > _MAX_HOST_LETTERS + 1:  # before its letters are looked up one by one
        raise _no_url()
    name = _ascii(text).removesuffix(".")
    labels = name.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            return name, IPv4Address(name)
        except ValueError:
            raise _no_url() from None
    if len(name) > _MAX_HOST_LETTERS or not all(map(_LABEL.fullmatch, labels)):
        raise _no_url()
    return name, None


def _bracketed(text: str) -> tuple[str, Address]:
    try:
        address = ip_address(text)
    except ValueError:
        raise _no_url() from None
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise _no_url()
    return address.compressed, address


def _ascii(name: str) -> str:
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise _no_url() from None


def _no_url() -> RefusedUrl:
    return RefusedUrl("has an image URL that cannot be read")


def _rule(entry: str) -> _Rule:
    private = entry.endswith(_PRIVATE_MARK)
    name = entry.removesuffix(_PRIVATE_MARK)
    below = name.startswith("*.")
    try:
        parts = urlsplit(f"//{name.removeprefix('*.')}")
        host, address = _host(parts.hostname or "", is_bracketed="[" in parts.netloc)
        port = parts.port
    except (ValueError, RefusedUrl):
        raise _bad_entry(entry) from None
    if parts.netloc != name.removeprefix("*.") or "@" in name or name == _OFF or (below and address):
        raise _bad_entry(entry)
    return _Rule(f".{host}" if below else host, port, private)


def _bad_entry(entry: str) -> ConfigurationError:
    return ConfigurationError(
        f"GATEWAY_IMAGE_URLS: {entry!r} is not a host that images can be fetched from.",
        remedy="Give `public`, `off`, or hosts such as `images.example.com`, `*.example.com`, `host:8080` or "
        "`10.0.0.5+private`, comma-separated.",
    )
