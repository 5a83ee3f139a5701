"""What quick_start.sh says on machines that lack something, played with stand-ins for the commands it asks."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "env", "sed", "sort", "head", "awk", "cut", "dirname", "cat")
COMPOSE = "docker compose --profile all-MiniLM-L6-v2 up -d"

FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) exit {venv} ;;
  *'%d.%d'*) echo {version} ;;
  -) cat >/dev/null; exit {library} ;;
  *sys.exit*) exit {supported} ;;
esac
"""


@dataclass
class Machine:
    """A checkout on a machine with nothing but what a test puts on its PATH."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, name: str, script: str, *, folder: str = "bin") -> None:
        path = self.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def says(self, name: str, text: str) -> None:
        self.command(name, f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")

    def system(self, name: str, version: str) -> None:
        (self.folder / "os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\n')

    def python(
        self, name: str, *, version: str = "3.11", venv: bool = True, library: bool = True, folder: str = "bin"
    ) -> None:
        supported = version in ("3.11", "3.12")
        codes = {"venv": int(not venv), "library": int(not library), "supported": int(not supported)}
        self.command(name, FAKE_PYTHON.format(version=version, **codes), folder=folder)

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.folder / "bin"),
            "OS_RELEASE": str(self.folder / "os-release"),
            "SYSTEM_BIN": str(self.folder / "system"),
            "HOME": str(self.folder),
            **self.variables,
        }
        command = [str(self.folder / "checkout/scripts/quick_start.sh"), *(options or ("--check",))]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Debian 12 with apt, plenty of room and no Python at all."""
    (tmp_path / "bin").mkdir()
    shutil.copytree(ROOT / "scripts", tmp_path / "checkout/scripts")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    machine = Machine(tmp_path)
    machine.command("uname", '#!/bin/sh\ncase "$1" in -s) echo Linux ;; -m) echo x86_64 ;; esac\n')
    machine.says("getconf", "glibc 2.36")
    machine.says("df", "Filesystem 1M-blocks Used Available Capacity Mounted on\nx 90000 1 80000 1% /")
    machine.says("apt-get", "")
    machine.system("debian", "12")
    return machine


def mending_commands(result: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line.strip().replace("sudo ", "") for line in result.stderr.splitlines() if line.startswith("    ")]
    return [line for line in lines if line]


def test_a_complete_machine_is_told_so(machine: Machine) -> None:
    machine.python("python3.11")
    result = machine.check()
    assert (result.returncode, result.stderr) == (0, "")
    assert "python3.11" in result.stdout


@pytest.mark.parametrize(("complete", "chosen"), [(True, "system/python3.11"), (False, "(python3.12)")])
def test_the_distributions_python_comes_first_where_it_is_complete(
    machine: Machine, complete: bool, chosen: str
) -> None:
    machine.python("python3.12", version="3.12")
    machine.python("python3.11", venv=complete, folder="system")
    assert chosen in machine.check().stdout


@pytest.mark.parametrize(
    ("system", "version"), [(("debian", "12"), "3.11"), (("ubuntu", "22.04"), "3.11"), (("ubuntu", "24.04"), "3.12")]
)
def test_without_python_one_command_brings_all_of_it(machine: Machine, system: tuple[str, str], version: str) -> None:
    machine.system(*system)
    result = machine.check()
    assert result.returncode == 1
    packages = f"python{version} python{version}-venv libpython{version}"
    assert mending_commands(result) == [f"apt-get update && apt-get install -y {packages}"]


@pytest.mark.parametrize(
    ("venv", "library", "packages"),
    [
        (False, True, "python3.11-venv"),
        (True, False, "libpython3.11"),
        (False, False, "python3.11-venv libpython3.11"),
    ],
)
def test_missing_parts_of_python_come_in_one_command(
    machine: Machine, venv: bool, library: bool, packages: str
) -> None:
    machine.python("python3.11", venv=venv, library=library)
    result = machine.check()
    assert result.returncode == 1
    assert mending_commands(result) == [f"apt-get update && apt-get install -y {packages}"]


def test_a_complete_python_beats_a_newer_one_that_lacks_its_library(machine: Machine) -> None:
    machine.python("python3.12", version="3.12", library=False)
    machine.python("python3.11")
    result = machine.check()
    assert result.returncode == 0
    assert "python3.11" in result.stdout


def test_a_shim_that_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.command("python3.12", "#!/bin/sh\nexit 127\n")
    machine.python("python3")
    assert machine.check().returncode == 0


def test_only_newer_pythons_and_none_packaged_leads_to_the_containers(machine: Machine) -> None:
    machine.system("debian", "13")
    machine.python("python3", version="3.13")
    result = machine.check()
    assert result.returncode == 1
    assert mending_commands(result) == [COMPOSE]


def test_an_asked_for_python_that_does_not_fit_is_named(machine: Machine) -> None:
    machine.python("python3.11")
    machine.variables["PYTHON"] = "python2"
    result = machine.check()
    assert result.returncode == 1
    assert "PYTHON=python2 is not a Python 3.11 or 3.12" in result.stderr
    assert mending_commands(result) == []


def test_without_apt_the_packages_are_named_in_words(machine: Machine) -> None:
    (machine.folder / "bin/apt-get").unlink()
    machine.python("python3.11", venv=False, library=False)
    result = machine.check()
    assert result.returncode == 1
    assert "the venv module of python3.11 libpython3.11.so.1.0" in result.stderr


@pytest.mark.parametrize(
    ("answer", "words"), [("glibc 2.31", "glibc is 2.31"), ("musl", "no glibc"), ("glibc 2.4", "glibc is 2.4")]
)
def test_an_old_or_another_c_library_leads_to_the_containers(machine: Machine, answer: str, words: str) -> None:
    machine.python("python3.11")
    machine.says("getconf", answer)
    result = machine.check()
    assert result.returncode == 1
    assert words in result.stderr
    assert mending_commands(result) == [COMPOSE]


@pytest.mark.parametrize(("kernel", "processor"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_another_platform_leads_to_the_containers(machine: Machine, kernel: str, processor: str) -> None:
    machine.python("python3.11")
    machine.command("uname", f'#!/bin/sh\ncase "$1" in -s) echo {kernel} ;; -m) echo {processor} ;; esac\n')
    result = machine.check()
    assert result.returncode == 1
    assert f"{kernel} on {processor}" in result.stderr
    assert mending_commands(result) == [COMPOSE]


def test_too_little_room_is_told_with_both_numbers(machine: Machine) -> None:
    machine.python("python3.11")
    machine.says("df", "Filesystem 1M-blocks Used Available Capacity Mounted on\nx 90000 1 700 99% /")
    result = machine.check()
    assert result.returncode == 1
    assert "700 MiB are free" in result.stderr
    assert "1500 MiB are needed" in result.stderr


def test_nothing_is_touched_when_something_is_missing(machine: Machine) -> None:
    before = sorted((machine.folder / "checkout").rglob("*"))
    assert machine.check("--detach").returncode == 1
    assert sorted((machine.folder / "checkout").rglob("*")) == before
