"""Process trees are found and ended by their mark, and only they."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from omni_mcp.contract import OWNER_MARK
from omni_mcp.processes import child_environment, die_with_parent, is_stopped, marked, sweep
from omni_mcp.task import new_id

MARK = "OMNI_TEST"
PATIENT = "import signal; print(flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PATIENT}"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {PATIENT!r}], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
{PATIENT}
"""
SWEEPER = f"""
import sys
from omni_mcp.processes import sweep
print(sweep({MARK!r}, sys.argv[1]).ended)
"""
ASKED = "from omni_mcp.processes import origin; print(origin())"
STARTER = "import subprocess, sys; subprocess.run([sys.argv[1], '-c', sys.argv[2]], check=True)"
ORPHANER = """
import subprocess, sys, signal
from omni_mcp.processes import die_with_parent
child = subprocess.Popen(die_with_parent([sys.executable, "-c", sys.argv[1]]), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
signal.pause()
"""


@contextmanager
def started(code: str, *arguments: str, env: Mapping[str, str]) -> Generator[subprocess.Popen[str]]:
    """Run Python code until it has printed its first line."""
    argv = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_sweep_ends_the_tree_of_a_mark_and_nothing_else() -> None:
    mine, other = new_id(), new_id()
    with started(PARENT, env={MARK: mine}) as parent, started(PATIENT, env={MARK: other}) as bystander:
        line_of(parent)
        line_of(bystander)
        assert len(marked(MARK, mine)) == 2
        swept = sweep(MARK, mine)
        assert len(swept.ended) == 2
        assert str(parent.pid) in " ".join(swept.ended)
        assert swept.remaining == []
        assert marked(MARK, mine) == []
        assert bystander.poll() is None
        assert parent.wait() == -signal.SIGTERM


def test_what_does_not_heed_the_polite_end_gets_the_hard_one() -> None:
    mine = new_id()
    with started(DEAF, env={MARK: mine}) as process:
        line_of(process)
        assert sweep(MARK, mine, grace=0.1).remaining == []
        assert process.wait() == -signal.SIGKILL


def test_a_sweep_never_ends_itself() -> None:
    mine = new_id()
    with started(SWEEPER, mine, env={MARK: mine}) as process:
        assert line_of(process) == "[]"
        assert process.wait() == 0


def test_a_zombie_is_not_found() -> None:
    mine = new_id()
    with started("", env={MARK: mine}) as process:
        assert line_of(process) == ""
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert marked(MARK, mine) == []


def test_a_child_inherits_an_allow_list_and_its_owner_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv(OWNER_MARK, "somebody else")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    env = child_environment({"TOKEN": "its own", "PATH": "/its/bin"}, owner="me")
    assert (env["TOKEN"], env["PATH"], env["LC_ALL"], env[OWNER_MARK]) == ("its own", "/its/bin", "C.UTF-8", "me")
    assert not {"ANTHROPIC_API_KEY", "PYTHONPATH"} & env.keys()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_child_dies_with_a_parent_that_was_killed() -> None:
    with started(ORPHANER, PATIENT, env={}) as parent:
        child = psutil.Process(int(line_of(parent)))
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs([child], timeout=5)
        assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_a_machine_without_setpriv_starts_the_command_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_mcp.processes._setpriv", lambda: None)
    assert die_with_parent(["server", "--flag"]) == ["server", "--flag"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_is_seen_to_stop_and_to_go_on() -> None:
    with started(PATIENT, env={}) as process:
        line_of(process)
        for signum, stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False), (signal.SIGSTOP, True)):
            process.send_signal(signum)
            for _ in range(1000):
                if is_stopped(process.pid) is stopped:
                    break
                os.sched_yield()
            assert is_stopped(process.pid) is stopped


@pytest.mark.skipif(os.name != "posix", reason="a process is named by a link to its program")
def test_what_an_openclaw_gateway_starts_knows_that(tmp_path: Path) -> None:
    gateway = tmp_path / "openclaw-gateway"
    gateway.symlink_to(sys.executable)
    for program, known in ((gateway, "gateway=True"), (Path(sys.executable), "None")):
        argv = [str(program), "-c", STARTER, sys.executable, ASKED]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
        assert known in said
