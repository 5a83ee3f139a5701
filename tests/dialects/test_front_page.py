"""The page's files over HTTP: all there, nothing inline, nothing from outside, open to who has no key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from gateway.dialects.front_page import ASSET_PATHS, ASSETS
from tests.support.edge import Edge, edge

FOLDER = files("gateway.dialects") / "front_page"
NAMES = sorted(file.name for file in FOLDER.iterdir())
HTML = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MAX_LINES = 400
# Names of XML's own, fetched by nobody.
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge() as running:
        yield running


class Markup(HTMLParser):
    """What a page loads and what is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag in ("link", "script", "img"):
            self.addresses.append(named.get("src") or named.get("href") or "")
        self.inline += [tag] * (tag == "style" or (tag == "script" and "src" not in named))
        self.inline += [name for name in named if name == "style" or name.startswith("on")]


def source(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_every_file_is_served_and_no_other() -> None:
    assert sorted([*ASSETS, "index.html"]) == NAMES


def test_the_page_loads_only_files_of_its_own_and_holds_no_script_or_style() -> None:
    markup = Markup()
    markup.feed(source("index.html"))
    assert markup.inline == []
    assert {f"/{address}" for address in markup.addresses} <= set(ASSET_PATHS)
    assert "page-assets/page.js" in markup.addresses


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_an_address_elsewhere_or_makes_markup_of_text(name: str) -> None:
    text = source(name).replace(NAMESPACE, "")
    assert not re.search(r"\b(?:https?:)?//[a-z0-9]", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", text)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith((".js", ".css", ".html"))])
def test_files_are_short_and_scripts_say_why_they_exist(name: str) -> None:
    lines = source(name).splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 120
    if name.endswith(".js"):
        assert lines[0].startswith("/**")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_modules_import_files_that_exist_and_names_they_export(name: str) -> None:
    for names, module in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', source(name)):
        exported = set(re.findall(r"export (?:async )?(?:function|const|class) (\w+)", source(module)))
        assert {one.strip() for one in names.split(",")} <= exported


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page-assets/page.js", "text/javascript; charset=utf-8"),
        ("/page-assets/layout.css", "text/css; charset=utf-8"),
        ("/page-assets/icon.svg", "image/svg+xml"),
    ],
)
def test_the_policy_lets_in_nothing_but_this_origins_files(shared: Edge, path: str, media_type: str) -> None:
    answer = shared.client.get(path, headers=HTML)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    rules = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert rules.pop("default-src") == "'none'"
    assert {rules.pop(f"{kind}-src") for kind in ("script", "style", "img", "connect")} == {"'self'"}
    assert {rules.pop(name) for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types")} == {"'none'"}
    assert rules == {"require-trusted-types-for": "'script'"}


@pytest.mark.parametrize("path", ["/", "/page-assets/page.js"])
def test_a_browser_that_has_the_file_is_told_so(shared: Edge, path: str) -> None:
    first = shared.client.get(path, headers=HTML)
    assert first.headers["cache-control"] == "no-cache"
    again = shared.client.get(path, headers=HTML | {"if-none-match": f'"another", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert shared.client.get(path, headers=HTML | {"if-none-match": '"another"'}).status_code == 200


def test_the_page_is_open_and_says_whether_a_key_is_needed() -> None:
    for keys, needed in (([], False), (["secret"], True)):
        with edge(api_keys=keys) as running:
            for path in ("/", *ASSET_PATHS):
                assert running.client.get(path, headers=HTML).status_code == 200
                assert running.client.head(path, headers=HTML).status_code == 200
            summary = running.client.get("/", headers={"accept": "application/json"}).json()
            assert summary["api_key_required"] is needed
            assert running.client.post("/page-assets/page.js").status_code in (401, 405)
