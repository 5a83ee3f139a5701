"""Fixtures that several parts share: above all one real Triton for the whole session."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from gateway.app import create_app
from gateway.cards.registry import Registry
from gateway.cli.fast_models import why_not_here
from gateway.errors import EmbeddedTritonError
from gateway.settings import Settings
from gateway.triton.embedded import distribution
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.python_models import PythonModelSettings
from gateway.triton.embedded.supervisor import EmbeddedTriton, StartReport
from tests.support import sharing_out
from tests.support.live_server import LiveServer, live_server
from tests.support.twin_repository import pull_twins, twin_repository, twins_of
from tests.support.twins import publishing

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

REPOSITORY = Path(__file__).parent.parent / "model_repository"
VOCABULARIES = REPOSITORY.parent / "vocabularies"
BUNDLED_MODEL = "all-MiniLM-L6-v2"
BUNDLED_FILES = ("config.pbtxt", "1/model.onnx", "1/model.safetensors", "1/tokenizer.json")


@dataclass(frozen=True)
class ServedTriton:
    """`host:port` of a real server that serves `model` and maybe others, and the way to its processes for tests that
    kill them."""

    grpc: str
    http: str
    metrics: str
    model: str
    report: StartReport
    background: BackgroundTriton


def need(reason: str | None) -> None:
    """Skip by name where something is missing here, or fail where nothing may be missing (REQUIRE_ALL=1)."""
    if reason is None:
        return
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def missing_tritonserver() -> str | None:
    try:
        distribution.locate()
    except EmbeddedTritonError as error:
        return f"embedded Triton: {error.message}"
    return None


def missing_bundled_model() -> str | None:
    folder = REPOSITORY / BUNDLED_MODEL
    missing = [name for name in BUNDLED_FILES if not (folder / name).is_file()]
    return f"{BUNDLED_MODEL}: {', '.join(missing)} missing; gateway models pull {BUNDLED_MODEL}" if missing else None


def missing_torch() -> str | None:
    missing = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} missing; scripts/install_torch.sh" if missing else None


def missing_fast() -> str | None:
    reason = why_not_here()
    return f"{reason.message} {reason.remedy}" if reason is not None else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Any:
    return sharing_out.scheduler(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Imports and collected tests stay until the end: no collection of garbage looks at them, a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = sharing_out.in_order(items)


@pytest.fixture(scope="session", autouse=True)
def quiet_structlog() -> None:
    """Servers of a session go on logging between tests, where nothing captures it. `captured_log` listens.

    Nothing is made of what is logged either: structlog's own default draws every traceback with the values of all its
    variables, which takes a second and more.
    """
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[])


@pytest.fixture(scope="session")
def tritonserver() -> None:
    """For tests that start servers of their own."""
    need(missing_tritonserver())


@pytest.fixture(scope="session")
def embedded_triton(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTriton]:
    """One real server on free ports, serving the bundled model, shared by the whole session.

    A test that kills its processes has to wait until they are back, or start a server of its own.
    """
    need(missing_bundled_model())
    triton = EmbeddedTriton(
        repository=REPOSITORY, run_folder=tmp_path_factory.mktemp("triton"), ports=Ports(*pick_free(3))
    )
    with BackgroundTriton(triton) as background:
        report = background.start([BUNDLED_MODEL])
        ends = report.endpoints
        yield ServedTriton(ends.grpc, ends.http, ends.metrics, BUNDLED_MODEL, report, background)


def ready_gateway(triton: ServedTriton, repository: Path) -> Iterator[LiveServer]:
    """The whole gateway on a free port, in front of `triton`, ready to serve all that `repository` holds."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        triton_url=triton.grpc,
        triton_http_url=triton.http,
        model_repository=repository,
        vocabulary_folder=VOCABULARIES,
    )
    with live_server(settings, create_app(settings)) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="session")
def gateway_server(embedded_triton: ServedTriton) -> Iterator[LiveServer]:
    """The whole gateway on a free port, in front of the embedded Triton, ready to serve."""
    yield from ready_gateway(embedded_triton, REPOSITORY)


@pytest.fixture(scope="session")
def gateway_url(gateway_server: LiveServer) -> str:
    """`http://host:port` of `gateway_server`."""
    return gateway_server.url


@pytest.fixture(scope="session")
def twin_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository: the shipped Jina cards over their tiny twins, pulled from a hub on loopback.

    Shared by the whole session; a test that changes files pulls its own.
    """
    repository = twin_repository(tmp_path_factory.mktemp("twins"))
    pull_twins(repository, staging=tmp_path_factory.mktemp("twin-downloads"))
    return repository


@pytest.fixture(scope="session")
def twin_triton(
    tritonserver: None, twin_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedTriton]:
    """One real server on free ports that serves every model of `twin_models`; `report.ready` names them."""
    triton = EmbeddedTriton(
        repository=twin_models, run_folder=tmp_path_factory.mktemp("twin-triton"), ports=Ports(*pick_free(3))
    )
    with BackgroundTriton(triton) as background:
        report = background.start([card.name for card in Registry.from_repository(twin_models).cards])
        assert report.failed == {}
        ends = report.endpoints
        yield ServedTriton(ends.grpc, ends.http, ends.metrics, "jina-embeddings-v3", report, background)


@pytest.fixture(scope="session")
def twin_gateway_server(twin_triton: ServedTriton, twin_models: Path) -> Iterator[LiveServer]:
    """The whole gateway on a free port, in front of `twin_triton`, ready to serve every Jina model."""
    yield from ready_gateway(twin_triton, twin_models)


@pytest.fixture(scope="session")
def twin_gateway_url(twin_gateway_server: LiveServer) -> str:
    """`http://host:port` of `twin_gateway_server`."""
    return twin_gateway_server.url


V4 = "jina-embeddings-v4"
MERGED_V4 = "jina-embeddings-v4-vllm-retrieval"
TEXT_MODEL = "jina-embeddings-v2-base-en"
V4_WINDOW = 2048
FAULTY_MODEL = Path(__file__).parent / "support" / "model_code" / "faulty_model.py"


@pytest.fixture(scope="session")
def v4_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By model, a folder with its repository's files in their own layout, for the oracle."""
    folder = tmp_path_factory.mktemp("v4-files")
    return {name: publishing.write(twins_of(name)[0], folder / name) for name in (V4, MERGED_V4)}


@pytest.fixture(scope="session")
def v4_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository, pulled: jina-embeddings-v4, one of its merged models with the faults of `FAULTY_MODEL`, and
    one that reads texts alone. Windows are of 2048 tokens, so that texts may exceed them."""
    need(missing_torch())
    names = (V4, MERGED_V4, TEXT_MODEL)
    repository = twin_repository(tmp_path_factory.mktemp("v4"), *names, max_tokens=V4_WINDOW)
    pull_twins(repository, *names, staging=tmp_path_factory.mktemp("v4-downloads"))
    shutil.copyfile(FAULTY_MODEL, repository / MERGED_V4 / "1" / "model.py")
    return repository


@contextmanager
def serving_v4(repository: Path, run_folder: Path) -> Iterator[ServedTriton]:
    """A server of its own for all that `repository` holds, apart from `twin_triton`, because these models import torch.
    They compute in float32, whatever the device."""
    triton = EmbeddedTriton(
        repository=repository,
        run_folder=run_folder,
        ports=Ports(*pick_free(3)),
        python_models=PythonModelSettings(dtype="float32"),
    )
    with BackgroundTriton(triton) as background:
        report = background.start([card.name for card in Registry.from_repository(repository).cards])
        assert report.failed == {}
        ends = report.endpoints
        yield ServedTriton(ends.grpc, ends.http, ends.metrics, V4, report, background)


@pytest.fixture(scope="session")
def v4_triton(tritonserver: None, v4_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTriton]:
    """One real server on free ports for every model of `v4_models`."""
    with serving_v4(v4_models, tmp_path_factory.mktemp("v4-triton")) as served:
        yield served


@pytest.fixture(scope="session")
def v4_gateway_url(v4_triton: ServedTriton, v4_models: Path) -> Iterator[str]:
    """`http://host:port` of the whole gateway in front of `v4_triton`."""
    for server in ready_gateway(v4_triton, v4_models):
        yield server.url


@pytest.fixture(scope="session")
def v4_oracle(v4_files: dict[str, Path]) -> V4Oracle:
    """What jina-embeddings-v4 has to give for its twin."""
    need(missing_torch())
    from tests.support.v4_oracle import V4Oracle

    return V4Oracle(v4_files[V4])
