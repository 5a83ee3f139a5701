"""Images on their way through the service, over a model in the shape of jina-embeddings-v4: real files through the real
reader, and a scripted reader for what is promised about time and memory."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway.cards.schema import ImageSpec
from gateway.errors import DeviceOutOfMemory, InvalidField, InvalidImage, TokenLimitExceeded
from gateway.images.reading import Admit, ImageReader
from gateway.telemetry.metrics import build_metrics
from gateway.types import ClassifyRequest, EmbedResult, ImageInput, Overflow, TextInput, UInt8Array
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import SIZE, ScriptedEngine
from tests.support.tiny_models import tiny_model
from tests.support.unpadded_engine import (
    IDS,
    IMAGES,
    UnpaddedEngine,
    rows_of,
    token_vectors_of,
    unpadded_card,
    vector_of,
)
from tests.support.unpadded_service import MODEL, unpadded

START, IMG, END = (IDS[word] for word in ("[START]", "[IMG]", "[END]"))


class ScriptedImages:
    """Stands in for `ImageReader.prepared`: pixels made from the input's number, and who still holds them."""

    def __init__(self, height: int = 4, width: int = 4) -> None:
        self.size = (height, width)
        self.asked: list[list[int]] = []
        self.open = self.made = 0
        self.held: asyncio.Event | None = None
        self.refs: list[weakref.ref[UInt8Array]] = []

    @asynccontextmanager
    async def prepared(
        self, inputs: Sequence[tuple[int, ImageInput]], *, spec: ImageSpec, deadline: float, admit: Admit
    ) -> AsyncIterator[Mapping[int, UInt8Array]]:
        self.asked.append([number for number, _ in inputs])
        self.open += 1
        try:
            if self.held is not None:
                await self.held.wait()
            images = {}
            for number, _ in inputs:
                images[number] = pixels_of(number, *self.size)
                self.made += 1
                admit(*self.size)
            self.refs += [weakref.ref(image) for image in images.values()]
            yield images
        finally:
            self.open -= 1

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self.refs)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedImages:
    images = ScriptedImages()
    monkeypatch.setattr(ImageReader, "prepared", lambda self, inputs, **given: images.prepared(inputs, **given))
    return images


def pixels_of(seed: int, height: int, width: int) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def png(pixels: UInt8Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def prompt_ids(pixels: UInt8Array) -> list[int]:
    height, width, _ = pixels.shape
    return [START, *[IMG] * (height * width // 4), END, IDS["the"], IDS["cat"]]


def image_vector(pixels: UInt8Array, adapter: int = 0) -> np.ndarray:
    return vector_of(prompt_ids(pixels), adapter, pixels)


def assert_vectors(result: EmbedResult, *expected: np.ndarray) -> None:
    np.testing.assert_allclose(result.vectors, np.stack(expected), rtol=0, atol=1e-5)


async def test_images_and_texts_in_one_request_in_every_form(tmp_path: Path) -> None:
    first, second, third = pixels_of(1, 4, 6), pixels_of(2, 8, 4), pixels_of(3, 4, 4)
    encoded = base64.b64encode(png(third)).decode()
    inputs = [
        "cat " * 9,  # as long as an image, so that nothing but its kind keeps it from their call
        ImageInput(data=png(first)),
        "the mat",
        ImageInput(url=f"data:image/png;base64,{base64.b64encode(png(second)).decode()}"),
        f"data:image/png;base64,{encoded}",
    ]
    metrics = build_metrics(version="test")
    async with unpadded(tmp_path, metrics=metrics) as (service, engine):
        result = await service.embedding.embed(request(*inputs, task="text-matching"))
        assert (await service.embedding.embed(request("cat"))).stages.images == 0
    assert result.stages.images > 0
    assert metrics.registry.get_sample_value("gateway_image_seconds_count", {"stage": "decode"}) == 3
    assert_vectors(
        result,
        vector_of([IDS["the"], *[IDS["cat"]] * 9], 1),
        image_vector(first, 1),
        vector_of([IDS["the"], IDS["mat"]], 1),  # its own prefix
        image_vector(second, 1),
        image_vector(third, 1),
    )
    image_tokens = sum(len(prompt_ids(image)) for image in (first, second, third))
    assert (result.usage.image_tokens, result.usage.prompt_tokens) == (image_tokens, image_tokens + 12)
    for call in engine.calls:
        kinds = {image is None for _, _, image, _ in rows_of(call.inputs)}
        assert len(kinds) == 1, "images and texts never share a call"


async def test_images_of_several_requests_and_tasks_share_a_call(tmp_path: Path, scripted: ScriptedImages) -> None:
    tasks = {"retrieval.query": 0, "text-matching": 1, "code.passage": 2}
    async with unpadded(tmp_path) as (service, engine):
        results = await asyncio.gather(
            *(service.embedding.embed(request(ImageInput(data=b"-"), task=task)) for task in tasks)
        )
    for adapter, result in zip(tasks.values(), results, strict=True):
        assert_vectors(result, image_vector(pixels_of(0, 4, 4), adapter))
    assert [list(call.inputs["row_adapters"]) for call in engine.calls] == [[0, 1, 2]]


async def test_a_vector_a_token_of_an_image_with_its_prompts_texts(tmp_path: Path, scripted: ScriptedImages) -> None:
    image = pixels_of(1, 4, 4)
    async with unpadded(tmp_path) as (service, _):
        asked = request("cat", ImageInput(data=b"-"), multi_vector=True, return_tokens=True)
        result = await service.embedding.embed(asked)
    assert result.token_vectors is not None
    assert result.tokens is not None
    np.testing.assert_allclose(
        result.token_vectors[1], token_vectors_of(prompt_ids(image), 0, image), rtol=0, atol=1e-5
    )
    assert result.tokens[1] == ("[START]", *["[IMG]"] * 4, "[END]", "the", "cat")
    assert result.usage.image_tokens == 8


async def test_a_text_model_refuses_images_by_number_and_reads_uris_as_text(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(states={"tiny": "READY"})) as service:
        with pytest.raises(InvalidField, match=r"'input\[1\]' is no text, and this model reads text only\.") as refused:
            await service.embedding.embed(request("cat", ImageInput(url="http://127.0.0.1:1/a.png")))
        assert (refused.value.param, refused.value.code) == ("input", "unsupported_modality")
        result = await service.embedding.embed(request("data:image/png;base64,AA", overflow=Overflow.TRUNCATE))
        assert result.vectors.shape == (1, SIZE)


async def test_an_image_that_is_none_is_named_by_its_number(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(InvalidImage, match=r"^'input\[1\]' is") as refused:
            await service.embedding.embed(request("cat", ImageInput(data=b"no image")))
        assert refused.value.param == "input"
        assert engine.calls == []


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_an_image_longer_than_the_window_is_refused(
    tmp_path: Path, scripted: ScriptedImages, overflow: Overflow
) -> None:
    scripted.size = (16, 16)
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(TokenLimitExceeded, match=r"'input\[1\]' is an image of 68 tokens") as refused:
            await service.embedding.embed(request("cat", ImageInput(data=b"-"), overflow=overflow))
        assert refused.value.param == "input"
        assert (engine.calls, scripted.open) == ([], 0)


async def test_image_tokens_count_against_the_limit_of_a_request(tmp_path: Path, scripted: ScriptedImages) -> None:
    """An image of 4 by 4 pixels has 8 tokens here, the fewest there are."""
    one = ImageInput(data=b"-")
    async with unpadded(tmp_path, max_request_tokens=24) as (service, _):
        await service.embedding.embed(request(one, one, one))
        with pytest.raises(TokenLimitExceeded, match="however you requested 26 tokens in total"):
            await service.embedding.embed(request(one, one, one, "cat"))
        asked = len(scripted.asked)
        with pytest.raises(TokenLimitExceeded, match="however you requested at least 32 tokens"):
            await service.embedding.embed(request(one, one, one, one))
        assert len(scripted.asked) == asked, "refused before anything was fetched"
        scripted.size, scripted.made = (8, 8), 0
        with pytest.raises(TokenLimitExceeded, match="at least 40 tokens in total"):
            await service.embedding.embed(request(one, one, one))
        assert scripted.made == 2, "refused as soon as it was known"


@pytest.mark.parametrize("side", [4, 6])
async def test_images_with_more_vectors_than_an_answer_may_have_are_refused_as_soon_as_it_is_known(
    tmp_path: Path, scripted: ScriptedImages, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr("gateway.service.token_vectors.MOST_TOKENS", 25)
    scripted.size = (side, side)
    images = [ImageInput(data=b"-")] * (4 if side == 4 else 3)
    async with unpadded(tmp_path) as (service, engine):
        with pytest.raises(TokenLimitExceeded, match=r"may have 25 tokens.* has at least (32|26)\."):
            await service.embedding.embed(request(*images, multi_vector=True))
        assert (scripted.made, engine.calls) == (0 if side == 4 else 2, [])
        assert len((await service.embedding.embed(request(*images))).vectors) == len(images)


async def test_late_chunking_is_for_text(tmp_path: Path, scripted: ScriptedImages) -> None:
    async with unpadded(tmp_path) as (service, _):
        for image in (ImageInput(data=b"-"), "data:image/png;base64,AAAA"):
            with pytest.raises(InvalidField, match=r"'input\[1\]' is an image") as refused:
                await service.embedding.embed(request("cat", image, late_chunking=True))
            assert refused.value.code == "unsupported_modality"
    assert scripted.asked == []


async def test_images_are_held_until_they_are_computed_and_no_longer(tmp_path: Path, scripted: ScriptedImages) -> None:
    async with unpadded(tmp_path) as (service, engine):
        engine.delay_seconds = 0.02
        embedding = asyncio.create_task(service.embedding.embed(request(*[ImageInput(data=b"-")] * 5)))
        await until(lambda: len(engine.calls) > 0)
        assert scripted.open == 1
        await embedding
        assert (scripted.open, scripted.alive) == (0, 0)


@pytest.mark.parametrize("while_fetched", [True, False])
async def test_a_client_that_goes_away_frees_its_images(
    tmp_path: Path, scripted: ScriptedImages, while_fetched: bool
) -> None:
    async with unpadded(tmp_path) as (service, engine):
        if while_fetched:
            scripted.held = asyncio.Event()
        engine.hang = True
        # Others wait on, so that the queue is not simply emptied.
        others = [asyncio.create_task(service.embedding.embed(request("cat"))) for _ in range(3)]
        embedding = asyncio.create_task(service.embedding.embed(request(*[ImageInput(data=b"-")] * 200)))
        await until(lambda: scripted.open == 1 and (while_fetched or len(engine.calls) >= 2))
        embedding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await embedding
        assert scripted.open == 0
        del embedding
        await asyncio.sleep(0)  # until then the loop holds the error that it threw in here, and that its traceback
        # Those of calls under way go with the calls: two, of at most 256 tokens.
        assert scripted.alive <= 2 * 256 // 8
        assert not any(one.done() for one in others)
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def test_an_image_that_does_not_fit_into_memory_fails_alone(tmp_path: Path) -> None:
    small, large = png(pixels_of(1, 4, 4)), png(pixels_of(2, 8, 8))
    async with unpadded(tmp_path) as (service, engine):
        engine.out_of_memory_tokens = 12
        results = await asyncio.gather(
            *(service.embedding.embed(request(ImageInput(data=data))) for data in (small, large, small)),
            return_exceptions=True,
        )
    assert [type(result) for result in results] == [EmbedResult, DeviceOutOfMemory, EmbedResult]
    assert "a smaller image" in str(results[1])


async def test_images_are_classified_by_labels(tmp_path: Path, scripted: ScriptedImages) -> None:
    image = pixels_of(0, 4, 4)
    async with unpadded(tmp_path) as (service, _):
        asked = request("cat")
        result = await service.classification.classify(
            ClassifyRequest(
                inputs=[ImageInput(data=b"-"), TextInput("cat")],
                label_groups=[["sat", "mat"]],
                deadline=asked.deadline,
                task="text-matching",
            )
        )
    labels = np.stack([vector_of([IDS["the"], IDS[word]], 1) for word in ("sat", "mat")]).astype(np.float64)
    cosines = labels @ image_vector(image, 1).astype(np.float64)
    np.testing.assert_allclose(result.scores[0][0], np.exp(cosines) / np.exp(cosines).sum(), rtol=0, atol=1e-5)
    assert result.usage.image_tokens == 8


async def test_a_label_that_looks_like_an_image_is_a_text(tmp_path: Path, scripted: ScriptedImages) -> None:
    uri = "data:image/png;base64,AAAA"
    async with unpadded(tmp_path) as (service, _):
        deadline = request("cat").deadline
        asked = ClassifyRequest(inputs=[TextInput("cat")], label_groups=[["sat", uri]], deadline=deadline)
        result = await service.classification.classify(asked)
        assert (scripted.asked, result.usage.image_tokens) == ([], 0)
        await service.classification.classify(replace(asked, inputs=[TextInput(uri)]))
        assert scripted.asked == [[0]], "an input that looks like one is one"


async def test_listings_say_what_a_model_reads(tmp_path: Path) -> None:
    async with unpadded(tmp_path) as (service, _):
        [listing] = service.models.list()
        assert (listing.modalities, listing.multi_vector) == (("text", "image"), True)


async def test_a_tokenizer_without_the_models_image_token_is_told(tmp_path: Path) -> None:
    card = replace(unpadded_card(tmp_path), images=replace(IMAGES, pad_token="cat mat"))
    engine = UnpaddedEngine(states={MODEL: "READY"})
    async with running(tmp_path, engine, known=[tiny_model(card)]) as service:
        await until(lambda: service.readiness.report().models[MODEL].state == "faulty")
        assert "2 tokens instead of one" in service.readiness.report().models[MODEL].reason
