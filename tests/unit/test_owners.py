"""Who is alive: the kernel's word, at once after a death and never during a pause."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omni_mcp.errors import EngineError
from omni_mcp.ledger.file_lock import lock
from omni_mcp.ledger.owners import bury_dead, holder, is_alive, owner_lock, try_hold, wait_until_free

BE = """
import sys
from pathlib import Path
from omni_mcp.ledger.owners import owner_lock
with owner_lock(Path(sys.argv[1]), sys.argv[2]):
    print("alive", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(owners: Path, owner: str) -> Generator[subprocess.Popen[bytes]]:
    """Start a process that is `owner`; it is killed at the end."""
    argv = [sys.executable, "-c", BE, str(owners), owner]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"alive\n"
            yield process
        finally:
            process.kill()


def test_an_owner_is_alive_until_the_end_of_its_lock(tmp_path: Path) -> None:
    assert not is_alive(tmp_path, "me")
    with owner_lock(tmp_path, "me"):
        assert is_alive(tmp_path, "me")
        assert holder(tmp_path / "me.lock") == os.getpid()
    assert not is_alive(tmp_path, "me")
    assert not list(tmp_path.iterdir())


def test_nobody_is_called_by_no_name(tmp_path: Path) -> None:
    assert not is_alive(tmp_path, "")


def test_a_paused_process_is_alive_and_a_killed_one_is_dead_at_once(tmp_path: Path) -> None:
    with another(tmp_path, "other") as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert is_alive(tmp_path, "other")
        assert holder(tmp_path / "other.lock") == process.pid
        process.kill()
        process.wait()
        assert not is_alive(tmp_path, "other")


def test_an_owner_id_is_given_once(tmp_path: Path) -> None:
    with owner_lock(tmp_path, "me"), pytest.raises(EngineError, match="taken"), owner_lock(tmp_path, "me"):
        pass
    with owner_lock(tmp_path, "me"):
        assert is_alive(tmp_path, "me")


def test_probing_does_not_make_a_real_owner_fail(tmp_path: Path) -> None:
    path, stop = tmp_path / "engine.lock", threading.Event()
    path.touch()

    def probe() -> None:
        while not stop.is_set():
            holder(path)

    probes = [threading.Thread(target=probe) for _ in range(4)]
    for each in probes:
        each.start()
    try:
        for _ in range(20):
            held = try_hold(path)
            assert held is not None
            held.close()
    finally:
        stop.set()
        for each in probes:
            each.join()


def test_a_lock_on_a_file_that_was_unlinked_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "me.lock"
    raced: list[int] = []

    def lock_late(fd: int, *, block: bool) -> bool:
        if not raced:
            path.unlink()
        raced.append(fd)
        return lock(fd, block=block)

    monkeypatch.setattr("omni_mcp.ledger.owners.lock", lock_late)
    held = try_hold(path)
    monkeypatch.undo()
    assert held is not None
    assert len(raced) == 2
    assert holder(path) == os.getpid()
    held.close()


def test_waiting_ends_when_the_holder_dies(tmp_path: Path) -> None:
    with another(tmp_path, "other") as process:
        path, free = tmp_path / "other.lock", threading.Event()

        def wait() -> None:
            wait_until_free(path)
            free.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not wait_until_free(path, limit=0.05)
        assert not free.is_set()
        process.kill()
        assert free.wait(10)
        waiter.join()
        assert wait_until_free(path, limit=1)


def test_nobody_waits_for_a_lock_that_was_never_there(tmp_path: Path) -> None:
    assert wait_until_free(tmp_path / "engine.lock")
    assert holder(tmp_path / "engine.lock") is None


def test_the_dead_are_buried_and_the_living_left_alone(tmp_path: Path) -> None:
    with another(tmp_path, "dead") as process:
        process.kill()
        process.wait()
    with owner_lock(tmp_path, "alive"):
        assert bury_dead(tmp_path) == ["dead"]
        assert bury_dead(tmp_path) == []
        assert is_alive(tmp_path, "alive")


def test_a_holder_that_has_not_said_its_pid_is_still_a_holder(tmp_path: Path) -> None:
    held = try_hold(tmp_path / "engine.lock")
    assert held is not None
    with held:
        (tmp_path / "engine.lock").write_bytes(b"")
        assert holder(tmp_path / "engine.lock") == 0
    held.close()
    assert holder(tmp_path / "engine.lock") is None


def test_who_only_looks_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    path.touch()
    with path.open() as looking:
        assert lock(looking.fileno(), block=False, shared=True)
        assert holder(path) is None
