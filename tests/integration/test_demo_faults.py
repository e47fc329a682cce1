"""`omni-mcp demo --faults` from outside, with a stand-in for the proxy; `make demo-faults` has the real one."""

import json
import os
import signal
import stat
import sys
from pathlib import Path

import anyio
import pytest

from omni_mcp.demo.faults.stage import find_proxy
from tests.forkserver import command
from tests.integration.test_demo import env, lives, without_claude

LIMIT = 220.0
SHOW = (sys.executable, "-m", "omni_mcp", "demo", "--faults")
pytestmark = pytest.mark.timeout(240)


def alone() -> str:
    """Return a PATH with neither Claude Code nor a LiteLLM that can serve."""
    path = without_claude()
    return path if find_proxy(path) is None else os.defpath


@pytest.mark.slow
async def test_the_demo_of_faults_proves_what_it_shows_and_says_what_is_a_stand_in(tmp_path: Path):
    with anyio.fail_after(LIMIT):
        done = await anyio.run_process([*SHOW, "--json"], env=env(tmp_path, path=alone()), check=False)
    told = done.stderr.decode()
    assert done.returncode == 0, done.stdout.decode() + told
    proof = json.loads(done.stdout)
    assert [check for check in proof["checks"] if not check["ok"]] == []
    assert {task["state"] for task in proof["tasks"]} == {"completed"}
    assert any("instead of the LiteLLM proxy" in thing and "make demo-faults" in thing for thing in proof["stand_ins"])
    times = [moment["at"] for moment in proof["timeline"]]
    assert times == sorted(times)
    assert {"normal", "degraded", "brainstem"} == {moment["mode"] for moment in proof["timeline"]}
    assert "check_interval 3 s (30)" in told
    assert "The timeline" in told
    assert not any(tmp_path.glob("omni-demo-*"))


async def test_a_demo_of_faults_that_is_interrupted_leaves_no_process(tmp_path: Path):
    async with await anyio.open_process(
        command("demo", "--faults"), env=env(tmp_path, path=alone()), stderr=None
    ) as process:
        assert process.stdout is not None
        told = b""
        with anyio.fail_after(LIMIT):
            while b"LiteLLM serves (pid" not in told:
                told += await process.stdout.receive()
            process.send_signal(signal.SIGINT)
            async for _ in process.stdout:
                pass
            assert await process.wait() == 130
    assert not lives(int(told.decode().partition("serves (pid ")[2].partition(")")[0]))
    assert not any(tmp_path.glob("omni-demo-*"))


def test_a_litellm_without_its_proxy_is_passed_over(tmp_path: Path):
    bare, whole = tmp_path / "bare", tmp_path / "whole"
    for folder, code in ((bare, 1), (whole, 0)):
        folder.mkdir()
        for name in ("litellm", "python"):
            program = folder / name
            program.write_text(f"#!/bin/sh\nexit {code}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert find_proxy(os.pathsep.join(map(str, (tmp_path, bare)))) is None
    assert find_proxy(os.pathsep.join(map(str, (bare, whole)))) == str(whole / "litellm")
