"""No URL of a stranger's makes the gateway connect to anything that is not public, directly or by a detour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.errors import InvalidImage
from gateway.images.fetching import FetchLimits, ImageFetcher
from gateway.images.reading import ImageLimits, ImageReader
from gateway.images.url_policy import UrlPolicy
from gateway.telemetry.metrics import build_metrics
from gateway.types import ImageInput
from tests.support.distant_deadline import soon
from tests.support.hostile_images import encoded, photo
from tests.support.image_server import (
    PUBLIC_ADDRESS,
    ImageServer,
    LoopbackNetwork,
    ScriptedResolver,
    redirect,
    response,
)
from tests.support.image_spec import V4_IMAGES
from tests.support.ssrf_urls import NAMES, ssrf_urls

REDIRECTS = (301, 302, 303, 307, 308)
IMAGE = encoded(photo(), "PNG")


@dataclass
class World:
    """The public internet, which is one server, and a canary at every other address."""

    public: ImageServer
    canary: ImageServer
    network: LoopbackNetwork
    resolver: ScriptedResolver

    def reader(self, setting: str = "public") -> ImageReader:
        limits = FetchLimits(max_bytes=1_000_000, seconds=20)
        policy = UrlPolicy.parse(setting)
        fetcher = ImageFetcher(policy, limits, resolve=self.resolver, network=self.network)
        return ImageReader(ImageLimits(fetches=8), metrics=build_metrics(version="test"), fetcher=fetcher)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with ImageServer() as public, ImageServer() as canary:
        network = LoopbackNetwork(public_port=public.port, canary_port=canary.port)
        yield World(public, canary, network, ScriptedResolver(NAMES))


async def refusal(reader: ImageReader, url: str) -> str | None:
    """Why the image is refused, or None where it is read."""
    try:
        async with reader.prepared([(2, ImageInput(url=url))], spec=V4_IMAGES, deadline=soon()):
            return None
    except InvalidImage as refused:
        return refused.message


async def refusals(reader: ImageReader, urls: list[str]) -> list[str]:
    found = await asyncio.gather(*(refusal(reader, url) for url in urls))
    await reader.close()
    assert [url for url, message in zip(urls, found, strict=True) if message is None] == []
    return [message for message in found if message is not None]


async def test_the_canary_sings() -> None:
    """Without the check of addresses these very parts would connect to it."""
    async with ImageServer({"/image.png": response(IMAGE)}) as canary:
        network = LoopbackNetwork(public_port=canary.port, canary_port=canary.port)
        fetcher = ImageFetcher(
            UrlPolicy.parse("127.0.0.1+private"), FetchLimits(max_bytes=1_000_000, seconds=20), network=network
        )
        assert await fetcher.fetch("http://127.0.0.1/image.png") == IMAGE
        assert canary.connections == 1


async def test_no_url_reaches_what_is_not_public(world: World) -> None:
    urls = ssrf_urls(world.canary.port)
    assert len(set(urls)) >= 200
    for message in await refusals(world.reader(), urls):
        assert message.startswith("'input[2]' ")
        for word in ("127.0.0.1", "::1", "10.0.0", "169.254", "Errno", "Error", "refused", "httpcore", "getaddrinfo"):
            assert word not in message
    assert world.canary.connections == 0
    assert world.public.connections == 0
    assert world.network.dialled == []


async def test_no_url_reaches_it_by_the_real_network_and_names() -> None:
    async with ImageServer() as canary:
        urls = [url for url in ssrf_urls(canary.port) if "127" in url or "local" in url or "::1" in url or "7f" in url]
        assert len(urls) > 100
        await refusals(ImageReader(ImageLimits(fetch_seconds=20), metrics=build_metrics(version="test")), urls)
        assert canary.connections == 0


async def test_no_redirect_leads_there(world: World) -> None:
    urls = [url for url in ssrf_urls(world.canary.port) if url.strip() and not set(url) & set("\r\n\t\x00\x01\ud83d")]
    # Relative to the public server these are places of its own, where there is nothing.
    for number, url in enumerate(urls):
        world.public.answers[f"/{number}"] = redirect(url, status=REDIRECTS[number % len(REDIRECTS)])
    await refusals(world.reader(), [f"http://public.example/{number}" for number in range(len(urls))])
    assert world.public.connections >= len(urls)
    assert world.canary.connections == 0
    assert set(world.network.dialled) == {PUBLIC_ADDRESS}


async def test_a_chain_of_redirects_is_checked_to_its_end(world: World) -> None:
    world.public.answers |= {
        "/a": redirect("/b"),
        "/b": redirect("http://public.example/c"),
        "/c": redirect("http://inner.example/image.png"),
    }
    await refusals(world.reader(), ["http://public.example/a"])
    assert (world.public.connections, world.canary.connections) == (3, 0)


async def test_a_name_that_changes_its_address_is_dialled_by_the_one_that_was_checked(world: World) -> None:
    world.resolver = ScriptedResolver({"rebind.example": [[PUBLIC_ADDRESS], ["127.0.0.1"]]})
    world.public.answers["/image.png"] = response(IMAGE)
    reader = world.reader()
    assert await refusal(reader, "http://rebind.example/image.png") is None
    assert world.network.dialled == [PUBLIC_ADDRESS]
    assert world.resolver.asked == ["rebind.example"]
    # The next time it has become an inner one.
    assert await refusal(reader, "http://rebind.example/image.png")
    assert (world.public.connections, world.canary.connections) == (1, 0)
    await reader.close()


async def test_a_name_that_changes_between_redirects_is_checked_again(world: World) -> None:
    world.resolver = ScriptedResolver({"rebind.example": [[PUBLIC_ADDRESS], ["127.0.0.1"]]})
    world.public.answers["/a"] = redirect("/image.png")
    await refusals(world.reader(), ["http://rebind.example/a"])
    assert (world.public.connections, world.canary.connections) == (1, 0)


async def test_refused_and_absent_and_silent_hosts_are_told_in_the_same_words(world: World) -> None:
    """Else a caller could find out what there is behind the gateway."""
    async with ImageServer() as closed:
        port = closed.port
    urls = [
        "http://inner.example/",
        "http://nowhere.example/",
        "http://10.1.2.3/",
        "http://[::1]/",
        "https://six.example/",
    ]
    messages = set(await refusals(world.reader(), urls))
    absent = ImageFetcher(UrlPolicy.parse(f"127.0.0.1:{port}+private"), FetchLimits(max_bytes=1000, seconds=20))
    reader = ImageReader(ImageLimits(), metrics=build_metrics(version="test"), fetcher=absent)
    messages.add(await refusal(reader, f"http://127.0.0.1:{port}/") or "")
    await reader.close()
    assert len(messages) == 1


@pytest.mark.parametrize("setting", ["off", "images.example, *.cdn.example", "inner.example:80"])
async def test_what_the_operator_does_not_name_is_not_asked_for(world: World, setting: str) -> None:
    await refusals(world.reader(setting), [*ssrf_urls(world.canary.port), "http://public.example/image.png"])
    assert (world.public.connections, world.canary.connections) == (0, 0)


async def test_a_named_host_with_a_private_address_needs_the_mark(world: World) -> None:
    world.canary.answers["/image.png"] = response(IMAGE)
    await refusals(world.reader("inner.example"), ["http://inner.example/image.png"])
    assert world.canary.connections == 0
    reader = world.reader("inner.example+private, metadata.google.internal+private")
    assert await refusal(reader, "http://inner.example/image.png") is None
    assert world.network.dialled == ["10.0.0.5"]
    # Link-local, where secrets are, is not made reachable by a name.
    assert await refusal(reader, "http://metadata.google.internal/image.png")
    assert world.network.dialled == ["10.0.0.5"]
    await reader.close()
