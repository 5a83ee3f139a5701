"""The warden's book-keeping: whose shared memory a segment is, and whether that owner still lives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.triton.embedded import warden


@pytest.fixture
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(warden, "SHARED_MEMORY", tmp_path)
    return tmp_path


def myself() -> warden.Owner:
    return warden.Owner(os.getpid(), warden.start_ticks_of(os.getpid()) or 0, warden.pid_namespace())


def test_segments_of_the_living_and_of_strangers_stay(shared_memory: Path) -> None:
    alive = myself()
    later_pid = warden.Owner(alive.pid, alive.start_ticks - 1, alive.namespace)
    elsewhere = warden.Owner(alive.pid, alive.start_ticks - 1, "1")
    kept = [f"{alive.prefix}a", f"{elsewhere.prefix}b", "sem.other", "triton_python_backend_x", f"{warden.PREFIX}-odd"]
    swept = [f"{later_pid.prefix}c", f"{later_pid.prefix}d"]
    for name in kept + swept:
        (shared_memory / name).touch()
    warden.sweep_dead_owners()
    assert sorted(path.name for path in shared_memory.iterdir()) == sorted(kept)


def test_a_zombie_is_dead(shared_memory: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        owner = warden.Owner(child.pid, warden.start_ticks_of(child.pid) or 0, warden.pid_namespace())
        assert owner.is_alive()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}").exists(), "a zombie, or this proves nothing"
        assert not owner.is_alive()


@given(pid=st.integers(1, 2**22), ticks=st.integers(0, 2**63), namespace=st.integers(1, 2**32))
def test_an_owner_is_read_back_from_its_segments_name(
    tmp_path_factory: pytest.TempPathFactory, pid: int, ticks: int, namespace: int
) -> None:
    owner = warden.Owner(pid, ticks, str(namespace))
    folder = tmp_path_factory.mktemp("shm")
    (folder / f"{owner.prefix}aee7c671-210e-420a-b551-d7300aa8084f").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warden, "SHARED_MEMORY", folder)
        assert list(warden.owners()) == [owner]


def test_a_process_whose_name_holds_brackets_and_blanks_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        assert warden.stat_fields(child.pid)[1] == str(os.getpid())
        child.kill()


@pytest.mark.parametrize(
    ("made_after_begin", "files", "removed"),
    [([1.0], [], True), ([-5.0], [], False), ([60.0], [], False), ([1.0, 2.0], [], False), ([1.0], ["x"], False)],
)
def test_only_the_one_empty_folder_made_during_the_start_is_removed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_after_begin: list[float],
    files: list[str],
    removed: bool,
) -> None:
    monkeypatch.setattr(warden, "TEMPORARY", tmp_path)
    folders = [tmp_path / f"python_env_{number}" for number, _ in enumerate(made_after_begin)]
    for folder in folders:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    (tmp_path / "something-else").mkdir()
    warden.remove_server_folder(folders[0].stat().st_ctime - made_after_begin[0])
    assert [folder.exists() for folder in folders] == [not removed] * len(folders)
    assert (tmp_path / "something-else").exists()
