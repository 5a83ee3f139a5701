from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.triton.endpoint import grpc_address, http_address
from gateway.triton.grpc_engine import GrpcEngine
from gateway.triton.http_port_mistake import http_port_mistake
from tests.conftest import ServedTriton


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("localhost:8001", "localhost:8001"),
        (" triton ", "triton:8001"),
        ("grpc://triton:9001/", "triton:9001"),
        ("HTTP://10.0.0.1:8000/v2", "10.0.0.1:8000"),
        ("[::1]:8001", "[::1]:8001"),
        ("[::1]", "[::1]:8001"),
    ],
)
def test_addresses_as_people_write_them(url: str, address: str) -> None:
    assert grpc_address(url) == address


@pytest.mark.parametrize("url", ["", ":8001", "host:port", "host:0", "host:65536", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an address of Triton"):
        grpc_address(url)


@pytest.mark.triton
def test_the_http_endpoint_is_read_alike_and_has_its_own_port_and_name() -> None:
    assert http_address("http://triton:8100/") == "triton:8100"
    assert http_address("triton") == "triton:8000"
    with pytest.raises(ConfigurationError) as refused:
        http_address("triton:http")
    assert "GATEWAY_TRITON_HTTP_URL" in (refused.value.remedy or "")


async def test_tritons_http_port_is_recognised_and_its_grpc_port_is_not(embedded_triton: ServedTriton) -> None:
    mistake = await http_port_mistake(embedded_triton.http)
    assert mistake is not None
    assert "gRPC" in (mistake.remedy or "")
    assert await http_port_mistake(embedded_triton.grpc) is None
    engine = GrpcEngine(embedded_triton.http)
    assert not await engine.is_live()
    await engine.close()


async def test_a_closed_port_is_no_mistake_of_that_kind() -> None:
    assert await http_port_mistake("127.0.0.1:9") is None
