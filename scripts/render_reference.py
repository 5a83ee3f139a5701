"""Write what is generated from the code: the README's configuration table, the metrics table, `.env.example` and
docs/api-reference.md.

.venv/bin/python scripts/render_reference.py            writes them
.venv/bin/python scripts/render_reference.py --check    exits 1 and names what is out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from enum import Enum
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from gateway.app import create_app
from gateway.dialects.reference import Entry, dialect_entries, other_routes, route_entries, undocumented_routes
from gateway.settings import Settings, environment_names
from gateway.telemetry.metrics import build_metrics

ROOT = Path(__file__).resolve().parent.parent

ENV_HEADER = """\
# Copy to .env and change what you need. Read by `gateway`, by the scripts and by docker compose.
# Generated from gateway/settings.py by scripts/render_reference.py; every value below is the default.
"""

COMPOSE_ONLY = """
# --- Only docker-compose.yml reads these ---

# Models to pull before Triton starts, as profiles, comma-separated.
#COMPOSE_PROFILES=all-MiniLM-L6-v2

# Address on which the gateway's port is published; 0.0.0.0 for every interface. Set GATEWAY_API_KEYS first.
#PUBLISH_ADDRESS=127.0.0.1

# Who owns model_repository/ and vocabularies/ on this machine (`id -u`, `id -g`).
#HOST_UID=1000
#HOST_GID=1000

# Another Triton image, and the memory each container may use; docker-compose.yml says what the models need.
#TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.07-py3
#TRITON_MEMORY=8g
#PULL_MEMORY=8g
#GATEWAY_MEMORY=2g

# GPUs given to Triton by docker-compose.gpu.yml and docker-compose.v4.yml.
#GPU_COUNT=1

# The image that docker-compose.v4.yml builds, and the torch in it; there TRITON_MEMORY is 16g and GATEWAY_MEMORY 4g.
#TRITON_GPU_IMAGE=triton-embeddings-gateway-gpu:0.1.0
#TORCH_VERSION=2.13.0
"""


API_REFERENCE = """\
# API reference

<!-- generated from the routes by scripts/render_reference.py -->

Every request that the gateway answers, by the API that it belongs to, and the page that it follows. Each path may end
in a slash, and HEAD goes wherever GET goes. [api-compatibility.md](api-compatibility.md) says what is done where
several APIs have one path; fields and answers are in the OpenAPI document, `/docs` and `/openapi.json` of a running
gateway.
"""

OWN_PAGES = "the gateway itself"


def default_text(field: str) -> str:
    """A setting's default as it would stand in the environment; empty where there is none."""
    value = Settings.model_fields[field].default
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def configuration_table() -> str:
    """One row a setting."""
    rows = ["| Variable | Default | What it does |", "|---|---|---|"]
    for field, info in Settings.model_fields.items():
        name, *others = (f"`{name}`" for name in environment_names(field))
        default = f"`{default_text(field)}`" if default_text(field) else ""
        also = f" Also read as {', '.join(others)}." if others else ""
        rows.append(f"| {name} | {default} | {info.description}{also} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """One row a metric, in the order of their declaration, named as Prometheus stores them."""
    rows = ["| Metric | Type | Labels | What it says |", "|---|---|---|---|"]
    metrics = build_metrics(version="")
    for one in (getattr(metrics, field.name) for field in fields(metrics)):
        if isinstance(one, MetricWrapperBase):
            (described,) = one.describe()
            suffix = "_total" if described.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in one._labelnames)
            rows.append(f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation} |")
    return "\n".join(rows)


def api_reference() -> str:
    """A section an API, a row a route."""
    app = create_app(Settings.model_construct(), start_services=lambda _: nullcontext())
    sections = [(dialect.name, routes_table(dialect_entries(dialect))) for dialect in app.dialects]
    own = other_routes(app.routes, app.dialects)
    pages = ", ".join(dict.fromkeys(f"`{folder_or_page(path)}`" for path in undocumented_routes(own)))
    sections.append((OWN_PAGES, f"{routes_table(route_entries(own, source=''))}\n\nFor browsers: {pages}."))
    return API_REFERENCE + "".join(f"\n## {title}\n\n{text}\n" for title, text in sections)


def folder_or_page(path: str) -> str:
    """`/folder/...` for what lies in one."""
    folder, slash, _ = path.removeprefix("/").partition("/")
    return f"/{folder}/..." if slash else path


def routes_table(entries: Sequence[Entry]) -> str:
    rows = ["| Request | What it does | Follows |", "|---|---|---|"]
    for entry in entries:
        also = "".join(f", `{path}`" for path in entry.other_paths)
        what = entry.what.replace("|", "\\|")
        page = f"[{entry.source.removeprefix('https://').rstrip('/')}]({entry.source})" if entry.source else ""
        rows.append(f"| `{entry.method} {entry.path}`{also} | {what} | {page} |")
    return "\n".join(rows)


def with_table(path: Path, subject: str, table: str) -> str:
    """The file with the table between its markers made anew. Raises `ValueError` when a marker is missing."""
    begin = f"<!-- begin: {subject}, generated by scripts/render_reference.py -->"
    end = f"<!-- end: {subject} -->"
    before, found_begin, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path.name} lacks the line {end if found_begin else begin}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def env_example() -> str:
    parts = [ENV_HEADER]
    for field, info in Settings.model_fields.items():
        parts.append(f"# {info.description}\n#{environment_names(field)[0]}={default_text(field)}\n")
    return "\n".join(parts) + COMPOSE_ONLY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is out of date")
    check = parser.parse_args().check
    readme, operations = ROOT / "README.md", ROOT / "docs/operations.md"
    wanted = {
        readme: with_table(readme, "configuration", configuration_table()),
        operations: with_table(operations, "metrics", metrics_table()),
        ROOT / ".env.example": env_example(),
        ROOT / "docs/api-reference.md": api_reference(),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.write_text(wanted[path])
        print(f"{path.name} {'is out of date: run scripts/render_reference.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
