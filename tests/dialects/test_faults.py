"""Every error of the tree has a status, and what nobody foresaw says nothing about itself."""

from __future__ import annotations

import inspect

import pytest
from starlette.exceptions import HTTPException

from gateway import errors
from gateway.dialects.faults import fault_of

EXPECTED = {
    errors.InvalidField("m", param="input"): 400,
    errors.InvalidImage("m", param="input"): 400,
    errors.TokenLimitExceeded("m", param="input"): 400,
    errors.TooManyInputs("m", param="input"): 400,
    errors.MalformedBody("m"): 400,
    errors.Unauthenticated("m"): 401,
    errors.UnknownModel("m"): 404,
    errors.BodyTooSlow("m"): 408,
    errors.BodyTooLarge("m"): 413,
    errors.UnsupportedBody("m"): 415,
    errors.Overloaded("m"): 429,
    errors.DeviceOutOfMemory("m"): 503,
    errors.EngineUnavailable("m"): 503,
    errors.BackendProcessDied("m"): 503,
    errors.DeadlineExceeded("m"): 504,
    errors.InferenceFailed("m"): 500,
    errors.InvalidVector("m"): 500,
    errors.ConfigurationError("m"): 500,
}


@pytest.mark.parametrize(("error", "status"), EXPECTED.items(), ids=lambda value: type(value).__name__)
def test_status_and_words(error: errors.GatewayError, status: int) -> None:
    fault = fault_of(error)
    assert (fault.status, fault.message, fault.code) == (status, "m", error.code)


def test_every_class_of_the_tree_has_a_status() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.GatewayError):
            made = kind("m", param=None) if issubclass(kind, errors.InvalidField) else kind("m")
            assert 400 <= fault_of(made).status < 600


def test_param_is_passed_on() -> None:
    assert fault_of(errors.InvalidField("m", param="dimensions")).param == "dimensions"
    assert fault_of(errors.UnknownModel("m")).param == "model"
    assert fault_of(errors.DeadlineExceeded("m")).param is None


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.EngineUnavailable, errors.DeviceOutOfMemory])
@pytest.mark.parametrize(("seconds", "written"), [(7, "7"), (0, "1")])
def test_retry_headers(kind: type[errors.NotServing], seconds: int, written: str) -> None:
    headers = fault_of(kind("m", retry_after_seconds=seconds)).headers
    assert headers["retry-after"] == written
    assert headers["retry-after-ms"] == written + "000"


def test_unforeseen_errors_say_nothing_about_themselves() -> None:
    fault = fault_of(ValueError("secret text"))
    assert (fault.status, fault.code) == (500, "internal_error")
    assert "secret" not in fault.message


def test_routing_errors_keep_the_allow_header() -> None:
    fault = fault_of(HTTPException(405, headers={"Allow": "POST"}))
    assert (fault.status, fault.headers["Allow"]) == (405, "POST")
    assert fault_of(HTTPException(404)).status == 404
