"""Which inputs of a request are images, and whether the model reads any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from gateway.cards.schema import ImageSpec
from gateway.errors import InvalidField
from gateway.images.encoded import is_image_uri
from gateway.images.reading import Admit
from gateway.service.public_model import PublicModel
from gateway.service.token_vectors import check_token_count
from gateway.text.reading import InputReader
from gateway.types import EmbedRequest, ImageInput, Input, TextInput, UInt8Array


class ImageSource(Protocol):
    """Implemented by `gateway.images.reading.ImageReader`."""

    def prepared(
        self, inputs: Sequence[tuple[int, ImageInput]], *, spec: ImageSpec, deadline: float, admit: Admit
    ) -> AbstractAsyncContextManager[Mapping[int, UInt8Array]]: ...


def with_images_known(request: EmbedRequest, model: PublicModel) -> EmbedRequest:
    """The request with those texts as images that are data URIs of one, for a model that reads images and unless the
    request says that its texts are none.

    Raises `InvalidField` for an image that is for another model.
    """
    if model.card.images is None:
        _refuse_images(request.inputs)
        return request
    if request.texts_only or not any(map(_is_image_text, request.inputs)):
        return request
    return replace(request, inputs=[_as_image(given) for given in request.inputs])


def numbered_images(inputs: Sequence[Input]) -> list[tuple[int, ImageInput]]:
    """The images among the inputs, with their numbers."""
    return [(number, given) for number, given in enumerate(inputs) if isinstance(given, ImageInput)]


class ImageTokens:
    """Counts the tokens of a request's images against what a request may have, before they are rows."""

    def __init__(self, request: EmbedRequest, spec: ImageSpec, reader: InputReader) -> None:
        self._request = request
        self._spec = spec
        self._reader = reader
        self._total = 0

    def check_least(self, count: int) -> None:
        """Raises `TokenLimitExceeded` where so many images have too many tokens however small they are: before any of
        them is fetched."""
        self._check(count * self._tokens(self._spec.min_pixels))

    def add(self, height: int, width: int) -> None:
        """One more image, in pixels as the model reads it. Raises `TokenLimitExceeded`."""
        self._total += self._tokens(height * width)
        self._check(self._total)

    def _tokens(self, pixels: int) -> int:
        prompt = self._reader.image_prompt
        assert prompt is not None  # of a model that reads images
        return prompt.own_tokens + pixels // self._spec.unit_pixels**2

    def _check(self, total: int) -> None:
        self._reader.check_total(total, at_least=True)
        if self._request.multi_vector:
            check_token_count(total, self._request, at_least=True)


def _refuse_images(inputs: Sequence[Input]) -> None:
    for number, given in enumerate(inputs):
        if isinstance(given, ImageInput):
            raise InvalidField(
                f"'input[{number}]' is no text, and this model reads text only. Send text, or name a model that reads "
                "images.",
                param="input",
                code="unsupported_modality",
            )


def _is_image_text(given: Input) -> bool:
    return isinstance(given, TextInput) and is_image_uri(given.text)


def _as_image(given: Input) -> Input:
    return ImageInput(url=given.text) if isinstance(given, TextInput) and is_image_uri(given.text) else given
