"""`omni-mcp demo` from outside: it proves what it shows, leaves nothing behind, and cleans up when interrupted."""

import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.forkserver import command

NPM = Path(__file__).parents[2] / ".cache/npm/node_modules/.bin"
CLAUDE = shutil.which("claude", path=str(NPM))
LIMIT = 140.0

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(150)]


def env(tmp_path: Path, *, path: str) -> Mapping[str, str]:
    kept = {k: v for k, v in os.environ.items() if k.startswith(("COVERAGE_", "OMNI_TEST"))}
    return {"PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LANG": "C.UTF-8", **kept}


def without_claude() -> str:
    """Return a PATH on which there is no Claude Code."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / "claude").exists())


async def demo(tmp_path: Path, *, path: str) -> dict[str, Any]:
    """Run it and return its proof."""
    with anyio.fail_after(LIMIT):
        done = await anyio.run_process(command("demo", "--json"), env=env(tmp_path, path=path), check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return json.loads(done.stdout)


def lives(pid: int) -> bool:
    """Return whether a process runs; one that is over and that nobody has asked for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_proven(proof: Mapping[str, Any]) -> None:
    assert [check for check in proof["checks"] if not check["ok"]] == []
    assert [task["state"] for task in proof["tasks"]] == ["completed"] * 3
    coding, *others = proof["tasks"]
    assert (coding["attempt"], coding["served_by"]) == (2, "claude_code")
    assert {(task["requested"], task["served_by"]) for task in others} == {("openclaw", "assistant")}
    assert proof["engines"]["killed"] != proof["engines"]["successor"]
    assert 0 < proof["takeover_seconds"] < 60
    assert proof["hello"] == "Hello, World!"
    assert not any(lives(pid) for pid in proof["engines"].values())


async def test_the_demo_proves_what_it_shows_with_a_labelled_stand_in(tmp_path: Path):
    proof = await demo(tmp_path, path=without_claude())
    assert_proven(proof)
    assert any("instead of Claude Code" in thing for thing in proof["stand_ins"])
    assert not any(tmp_path.glob("omni-demo-*"))


@pytest.mark.slow
@pytest.mark.claude
@pytest.mark.skipif(CLAUDE is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code")
async def test_the_demo_proves_the_same_with_the_real_claude_code(tmp_path: Path):
    proof = await demo(tmp_path, path=os.pathsep.join([str(NPM), os.environ["PATH"]]))
    assert_proven(proof)
    assert any("Claude Code" in thing for thing in proof["real"])
    assert not any("Claude Code" in thing for thing in proof["stand_ins"])
    assert not any(tmp_path.glob("omni-demo-*"))


async def test_a_demo_that_is_interrupted_cleans_up(tmp_path: Path):
    async with await anyio.open_process(
        command("demo"), env=env(tmp_path, path=without_claude()), stderr=None
    ) as process:
        assert process.stdout is not None
        told = b""
        with anyio.fail_after(LIMIT):
            while b"The client closes" not in told:
                told += await process.stdout.receive()
            process.send_signal(signal.SIGINT)
            async for _ in process.stdout:
                pass
            assert await process.wait() == 130
    assert not any(tmp_path.glob("omni-demo-*"))
