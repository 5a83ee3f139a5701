"""What `gateway up` decides and shows, short of starting anything."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import run_file
from gateway.cli.announcement import ProgressLine, ready_block
from gateway.cli.errors import render
from gateway.cli.port_choice import chosen_ports, triton_ports
from gateway.cli.up import complete_cards, gateway_url, served_models
from gateway.errors import ArtifactError, ConfigurationError, EmbeddedTritonError, SetupError, UnknownModel
from gateway.settings import Settings, load_settings
from gateway.triton.embedded.ports import pick_free
from gateway.triton.embedded.supervisor import Endpoints, Progress, StartReport

ENDPOINTS = Endpoints("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


def settings(**values: object) -> Settings:
    gateway, grpc, http, metrics = pick_free(4)
    ports = {"port": gateway, "triton_grpc_port": grpc, "triton_http_port": http, "triton_metrics_port": metrics}
    return load_settings(**{**ports, **values})


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_taken_as_asked_and_name_triton() -> None:
    asked = settings()
    chosen = chosen_ports(asked, auto=False)
    assert triton_ports(chosen) == triton_ports(asked)
    assert chosen.triton_url == f"127.0.0.1:{asked.triton_grpc_port}"
    assert chosen.triton_http_url == f"127.0.0.1:{asked.triton_http_port}"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("port", "--port"),
        ("triton_grpc_port", "--grpc-port"),
        ("triton_http_port", "--http-port"),
        ("triton_metrics_port", "--metrics-port"),
    ],
)
def test_a_taken_port_names_holder_and_option(taken: int, name: str, option: str) -> None:
    with pytest.raises(EmbeddedTritonError) as caught:
        chosen_ports(settings(**{name: taken}), auto=False)
    assert f"process {os.getpid()}" in caught.value.message
    assert f"{option}," in (caught.value.remedy or "")


def test_auto_ports_replace_only_taken_ones(taken: int) -> None:
    asked = settings(triton_http_port=taken)
    chosen = chosen_ports(asked, auto=True)
    assert chosen.triton_http_port not in (taken, 0)
    assert (chosen.port, chosen.triton_grpc_port) == (asked.port, asked.triton_grpc_port)


def test_one_port_for_two_purposes_is_refused_and_sorted_out_by_auto_ports() -> None:
    (port,) = pick_free(1)
    asked = settings(port=port, triton_grpc_port=port)
    with pytest.raises(ConfigurationError, match="--port and --grpc-port"):
        chosen_ports(asked, auto=False)
    assert chosen_ports(asked, auto=True).triton_grpc_port != port


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],
)
def test_the_url_is_one_that_this_machine_can_open(host: str, url: str) -> None:
    assert gateway_url(settings(host=host, port=80)) == url


def test_a_run_folder_is_held_by_one(tmp_path: Path) -> None:
    with run_file.sole_run(tmp_path) as record:
        run_file.write(record, url="http://127.0.0.1:8000", ports={"gateway": 8000}, models=("m",))
        told = pytest.raises(SetupError, match=f"process {os.getpid()}, http://127.0.0.1:8000")
        with told as caught, run_file.sole_run(tmp_path):
            pass
        assert caught.value.code == "already_running"
        written = run_file.read(record)
        assert run_file.is_running(written)
        assert not run_file.is_running({**written, "start_ticks": 1})
        assert (written["pid"], written["ports"], written["models"]) == (os.getpid(), {"gateway": 8000}, ["m"])
    assert not record.exists()
    with run_file.sole_run(tmp_path):
        pass


@pytest.mark.parametrize("name", ["folder", "file"])
def test_a_run_folder_that_cannot_be_written_to_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder/up.lock").mkdir(parents=True)
    told = pytest.raises(SetupError, match=f"{tmp_path / name} cannot be written to")
    with told as caught, run_file.sole_run(tmp_path / name):
        pass
    assert "GATEWAY_RUN_FOLDER" in str(caught.value.remedy)


def test_no_complete_model_names_the_command_that_fetches_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        complete_cards(settings(model_repository=tmp_path))
    assert caught.value.remedy == "gateway models pull all-MiniLM-L6-v2"


def test_where_the_first_model_is_not_known_another_one_is_offered(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    shipped = Path(__file__).parents[2] / "model_repository" / "all-MiniLM-L6-v2" / "card.toml"
    (folder / "card.toml").write_text(shipped.read_text().replace("all-MiniLM-L6-v2", "other"))
    with pytest.raises(ArtifactError) as wrong:
        complete_cards(settings(model_repository=tmp_path))
    assert wrong.value.remedy == "gateway models pull other"


def test_a_model_asked_for_has_to_be_known_and_complete(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent.parent / "model_repository" / "all-MiniLM-L6-v2" / "card.toml"
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    (tmp_path / "all-MiniLM-L6-v2" / "card.toml").write_bytes(source.read_bytes())
    with pytest.raises(ArtifactError, match=r"1/model\.onnx") as caught:
        complete_cards(settings(model_repository=tmp_path, models=("ALL-minilm-l6-v2",)))
    assert caught.value.remedy == "gateway models pull all-MiniLM-L6-v2"
    with pytest.raises(ConfigurationError, match="Known models: all-MiniLM-L6-v2") as wrong:
        complete_cards(settings(model_repository=tmp_path, models=("nope",)))
    assert wrong.value.remedy == "gateway models list"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


STEPS = (Progress(0.1, (), ("a", "b")), Progress(1.23, ("a",), ("b",)), Progress(2.0, ("a", "b"), ()))
REPORT = StartReport(ENDPOINTS, ("a",), {"b": "no such file"}, 2.1, "Python 3.11.7")


def test_on_a_terminal_the_line_grows_older() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    for step in STEPS:
        line(step)
    line.finish(REPORT)
    shown = stream.getvalue()
    assert "\r\x1b[Kloading a, b ... 0.1 s\r\x1b[Kloading b ... 1.2 s" in shown
    assert shown.endswith("b did not load: no such file\n")


def test_elsewhere_every_fact_is_one_line() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for step in (*STEPS, *STEPS):
        line(step)
    line.finish(REPORT)
    assert stream.getvalue().splitlines() == [
        "loading a ...",
        "loading b ...",
        "a: done with loading after 1.2 s",
        "b: done with loading after 2.0 s",
        "Triton is up after 2.1 s (Python 3.11.7)",
        "b did not load: no such file",
    ]


def test_a_model_that_loads_for_minutes_is_heard_of_in_a_log() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for seconds in range(100):
        line(Progress(elapsed_seconds=float(seconds), settled=(), waiting=("large",)))
    line(Progress(elapsed_seconds=130.0, settled=("large",), waiting=()))
    assert stream.getvalue().splitlines() == [
        "loading large ...",
        "still loading large after 30 s ...",
        "still loading large after 60 s ...",
        "still loading large after 90 s ...",
        "large: done with loading after 130.0 s",
    ]


def ready(*loaded: str, with_keys: bool = False) -> str:
    repository = Path(__file__).parents[2] / "model_repository"
    models = served_models(settings(model_repository=repository), loaded)
    return ready_block("http://127.0.0.1:8000", endpoints=ENDPOINTS, models=models, with_keys=with_keys)


def body_of(block: str) -> dict[str, object]:
    return dict(json.loads(block.split("-d '")[1].split("'")[0]))


@pytest.mark.parametrize("with_keys", [True, False])
def test_the_ready_block_holds_a_curl_line_that_is_valid(with_keys: bool) -> None:
    block = ready("all-MiniLM-L6-v2", with_keys=with_keys)
    assert body_of(block) == {"model": "all-MiniLM-L6-v2", "input": "Hello, world"}
    assert ("Authorization: Bearer" in block) is with_keys
    assert "http://127.0.0.1:3/metrics" in block


def test_the_ready_block_names_a_family_as_callers_do() -> None:
    nano = "jina-embeddings-v5-text-nano"
    block = ready(f"{nano}-retrieval", f"{nano}-clustering")
    assert f"Ready: {nano}\n" in block
    assert body_of(block)["model"] == nano


def test_the_curl_line_is_one_that_a_served_model_answers() -> None:
    reranker = "jina-reranker-v2-base-multilingual"
    alone = ready(reranker)
    assert "/v1/rerank " in alone
    assert set(body_of(alone)) == {"model", "query", "documents"}
    both = ready(reranker, "jina-embeddings-v3")
    assert "/v1/embeddings " in both
    assert body_of(both)["model"] == "jina-embeddings-v3"
    assert "no model yet" in ready()


def test_an_error_is_its_message_then_its_remedy() -> None:
    stream = io.StringIO()
    render(SetupError("It is broken.", remedy="mend it"), stream)
    render(UnknownModel("No such model."), stream)
    assert stream.getvalue() == "Error: It is broken.\nRemedy: mend it\nError: No such model.\n"
