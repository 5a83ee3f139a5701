"""The environment that official clients run in, apart from the gateway's own: `.run/clients`, made once of
`tests/clients/requirements.txt` and `newest.txt` beside it, and made anew when they change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests/clients/requirements.txt"
NEWEST = ROOT / "tests/clients/newest.txt"
FOLDER = ROOT / ".run/clients"
NEWEST_FOLDER = FOLDER / "newest"
DOWNLOAD = "210 MB"
INSTALL_SECONDS = 600

_STAMP = "made-of"
# Where tiktoken looks for the vocabulary that langchain-openai counts tokens by: a file named after a digest of this.
_CL100K_BASE = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


class ClientEnvironmentError(Exception):
    """The environment could not be made; the message holds pip's own words."""


def client_python(tell: Callable[[str], None] = print) -> Path:
    """The environment's interpreter; makes the environment first where it is missing or of other requirements.

    Safe to call from several processes at once. `tell` is given one sentence before anything is downloaded. Raises
    `ClientEnvironmentError`.
    """
    python = FOLDER / "bin/python"
    FOLDER.parent.mkdir(exist_ok=True)
    with FileLock(f"{FOLDER}.lock"):
        wanted = _fingerprint()
        stamp = FOLDER / _STAMP
        if not stamp.is_file() or stamp.read_text() != wanted:
            tell(f"Installing the clients' packages into .run/clients: about {DOWNLOAD} to download, once.")
            _make(python)
            stamp.write_text(wanted)
    return python


def client_variables(home: Path) -> dict[str, str]:
    """The environment variables of a program that uses clients: nobody's own keys and proxies, nothing that is asked of
    the internet. `home` is a folder that it may write to; cl100k_base has to be installed."""
    vocabularies = home / "tiktoken"
    vocabularies.mkdir(parents=True, exist_ok=True)
    copy = vocabularies / hashlib.sha1(_CL100K_BASE.encode()).hexdigest()
    if not copy.exists():
        copy.symlink_to(ROOT / "vocabularies/cl100k_base.tiktoken")
    return {
        "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "TIKTOKEN_CACHE_DIR": str(vocabularies),
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
    }


def _fingerprint() -> str:
    """Of the requirements, of the Python, and of the folder, whose path an environment keeps in itself."""
    requirements = hashlib.sha256(REQUIREMENTS.read_bytes() + NEWEST.read_bytes()).hexdigest()
    return f"{requirements} {sys.version_info.major}.{sys.version_info.minor} {FOLDER}\n"


def _make(python: Path) -> None:
    """What was left of an earlier try is thrown away: half an installation may look whole."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--without-pip", str(FOLDER))
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    # Most of what is installed is never imported, so nothing is compiled before it is.
    install = (*pip, "install", "--quiet", "--no-compile", "--no-deps", "--only-binary", ":all:")
    _run(*install, "--requirement", str(REQUIREMENTS))
    _run(*install, "--target", str(NEWEST_FOLDER), "--requirement", str(NEWEST))


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if result.returncode:
        raise ClientEnvironmentError(f"The clients' packages could not be installed: {result.stderr.strip()}")


if __name__ == "__main__":
    print(client_python())
