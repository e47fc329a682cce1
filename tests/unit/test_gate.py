"""The write gate: one writer at a time over all processes, and never on a network file system."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from omni_mcp.errors import LedgerUnusable
from omni_mcp.ledger.gate import WriteGate, refuse_network

HOLD = """
import sys
from pathlib import Path
from omni_mcp.ledger.gate import WriteGate
with WriteGate(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_gates_on_one_file_are_never_held_at_once(tmp_path: Path) -> None:
    first, second = WriteGate(tmp_path / "gate"), WriteGate(tmp_path / "gate")
    entered = threading.Event()

    def enter() -> None:
        with second.held():
            entered.set()

    waiter = threading.Thread(target=enter)
    with first.held():
        waiter.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    waiter.join()
    first.close()
    second.close()


def test_a_killed_process_lets_go_of_the_gate(tmp_path: Path) -> None:
    gate = WriteGate(tmp_path / "gate")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "gate")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        with gate.held():
            pass
    gate.close()


@pytest.mark.parametrize("kind", ["nfs4", "CIFS", "9p"])
def test_a_network_file_system_is_refused_with_the_way_out(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "share" / "home"
    folder.mkdir(parents=True)

    def mounts(*, all: bool) -> Sequence[SimpleNamespace]:  # noqa: A002 - psutil's own word
        assert all
        return [
            SimpleNamespace(mountpoint="/", fstype="ext4"),
            SimpleNamespace(mountpoint=str(folder.parent), fstype=kind),
        ]

    monkeypatch.setattr(psutil, "disk_partitions", mounts)
    with pytest.raises(LedgerUnusable) as refused:
        refuse_network(folder)
    assert "OMNI_HOME" in (refused.value.next_step or "")


def test_a_local_disk_is_welcome(tmp_path: Path) -> None:
    refuse_network(tmp_path)
