"""jina-embeddings-v4 as RunPod's users have it: the whole model and one merged task, against transformers' own."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil
import pytest

from gateway.triton.embedded.ports import pick_free
from tests.conftest import MERGED_V4, V4
from tests.support.images import data_uri, image_file
from tests.support.runpod_worker import Worker, started
from tests.support.triton_processes import processes_of
from tests.support.v4_client import assert_like, floats

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

pytestmark = [pytest.mark.triton, pytest.mark.usefixtures("tritonserver")]

Served = tuple[Worker, httpx.Client]


def serving(repository: Path, folder: Path, **values: str) -> Iterator[Served]:
    (port,) = pick_free(1)
    options = ("--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port))
    given = {"GATEWAY_MODEL_REPOSITORY": str(repository), "DTYPE": "float32", **values}
    with (
        started(folder, *options, **given) as worker,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        worker.wait_for("Uvicorn running on")
        yield worker, client


@pytest.fixture(scope="module")
def whole(v4_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(v4_models, tmp_path_factory.mktemp("whole"), MODEL_NAME=V4)


@pytest.fixture(scope="module")
def merged(v4_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With no name given."""
    yield from serving(v4_models, tmp_path_factory.mktemp("merged"))


def job(served: Served, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = served[1].post("/runsync", json={"input": fields}).json()
    return answer


def vectors(served: Served, **fields: Any) -> np.ndarray:
    answer = job(served, **fields)
    assert answer["status"] == "COMPLETED", answer
    return np.array([row["embedding"] for row in answer["output"]["data"]])


def test_texts_and_images_mix_as_in_the_seed(whole: Served, v4_oracle: V4Oracle) -> None:
    file = image_file(120, 80, seed=3)
    given = [{"text": "A beautiful sunset"}, {"image": data_uri(file)}, {"image": data_uri(file).partition(",")[2]}]
    expected = [v4_oracle.vector("retrieval.passage", one) for one in ("A beautiful sunset", file, file)]
    assert_like(vectors(whole, model="jina-embeddings-v4", input=given, task="retrieval.passage"), expected)
    usage = job(whole, input=given)["output"]["usage"]
    assert usage["image_tokens"] == 2 * len(v4_oracle.image_ids(file))


@pytest.mark.parametrize("task", ["retrieval.query", "text-matching", "code.query", "code.passage"])
def test_every_task(whole: Served, v4_oracle: V4Oracle, task: str) -> None:
    assert_like(vectors(whole, input=["a lazy dog"], task=task), [v4_oracle.vector(task, "a lazy dog")])


def test_encodings_and_sizes(whole: Served, v4_oracle: V4Oracle) -> None:
    answer = job(whole, input="fox", dimensions=16, embedding_type=["float", "base64", "binary"])
    embedding = answer["output"]["data"][0]["embedding"]
    expected = v4_oracle.vector("retrieval.passage", "fox", dimensions=16)
    assert_like(np.array([embedding["float"], floats(embedding["base64"])]), [expected, expected])
    packed = base64.b64decode(embedding["binary"])
    assert packed == np.packbits(np.array(embedding["float"]) > 0).tobytes()


def test_one_vector_a_token(whole: Served, v4_oracle: V4Oracle) -> None:
    answer = job(whole, input=["a lazy dog"], return_multivector=True, task="retrieval.query")
    (row,) = answer["output"]["data"]
    assert row["object"] == "embeddings"
    assert_like(np.array(row["embeddings"]), v4_oracle.token_vectors("retrieval.query", "a lazy dog"))


def test_a_bad_image_fails_its_job_and_no_other(whole: Served) -> None:
    answer = job(whole, input=["a", {"image": base64.b64encode(b"no image at all").decode()}])
    assert answer["status"] == "FAILED"
    assert "status 400, code invalid_image" in answer["error"]
    assert len(vectors(whole, input=["a"])) == 1


def test_a_merged_model_answers_to_the_whole_ones_names(merged: Served) -> None:
    first = vectors(merged, input=["a lazy dog"])
    for name in ("jina-embeddings-v4", "jinaai/jina-embeddings-v4", MERGED_V4, f"jinaai/{MERGED_V4}"):
        answer = job(merged, model=name, input=["a lazy dog"])
        assert_like(np.array([row["embedding"] for row in answer["output"]["data"]]), first)
        assert answer["output"]["model"] == (MERGED_V4 if name.endswith(MERGED_V4) else V4)


@pytest.mark.parametrize("task", ["text-matching", "code.query", "code.passage"])
def test_a_merged_model_refuses_other_tasks_naming_its_own(merged: Served, task: str) -> None:
    answer = job(merged, model="jina-embeddings-v4", input=["a"], task=task)
    assert answer["status"] == "FAILED"
    assert "status 400" in answer["error"]
    assert "retrieval.query" in answer["error"]
    assert "retrieval.passage" in answer["error"]


def test_a_merged_model_has_no_vectors_of_tokens(merged: Served) -> None:
    answer = job(merged, input=["a"], return_multivector=True)
    assert answer["status"] == "FAILED"
    assert "param return_multivector" in answer["error"]


def test_a_stop_ends_the_processes_that_decode_images_too(whole: Served) -> None:
    worker = whole[0]
    vectors(whole, input=[{"image": data_uri(image_file(30, 30))}])
    children = psutil.Process(worker.process.pid).children(recursive=True)
    assert worker.stop(signal.SIGTERM) == 0
    assert "Traceback" not in worker.shown()
    assert not processes_of(worker.run_folder)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
