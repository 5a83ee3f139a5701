"""A worker's ports: any free ones, so that workers that start together do not choose the same."""

from __future__ import annotations

import socket

import pytest

from gateway.cli.port_choice import triton_ports
from gateway.cli.runpod import with_ports
from gateway.errors import SetupError
from gateway.runpod.arguments import Arguments
from gateway.settings import Settings
from gateway.triton.embedded.ports import pick_free

USUAL = {8000, 8001, 8002, 8003}


def settings_of(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


def test_usual_ports_are_left_to_others() -> None:
    ports = triton_ports(with_ports(settings_of(), Arguments()))
    assert len({ports.grpc, ports.http, ports.metrics} - USUAL) == 3


def test_a_port_that_is_asked_for_is_taken() -> None:
    (asked,) = pick_free(1)
    chosen = with_ports(settings_of(triton_grpc_port=asked), Arguments())
    assert triton_ports(chosen).grpc == asked
    assert chosen.triton_url == f"127.0.0.1:{asked}"


def test_the_local_apis_port_is_left_to_it() -> None:
    (port,) = pick_free(1)
    chosen = with_ports(settings_of(triton_http_port=port), Arguments(serve_api=True, api_port=port))
    assert port not in (triton_ports(chosen).grpc, triton_ports(chosen).http, triton_ports(chosen).metrics)


def test_the_local_apis_port_has_to_be_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match="RunPod's local API") as refused:
            with_ports(settings_of(), Arguments(serve_api=True, api_port=port))
    assert refused.value.remedy == "Stop that process, or choose another port with --rp_api_port."


def test_the_local_api_needs_an_address_of_this_machine() -> None:
    with pytest.raises(SetupError, match="Nothing can listen on"):
        with_ports(settings_of(), Arguments(serve_api=True, api_host="192.0.2.1", api_port=pick_free(1)[0]))
