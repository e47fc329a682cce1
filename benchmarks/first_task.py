"""From nothing to a first completed task in Claude Code: each command that a person types, and its seconds.

The wheel is built before the clock starts, as if it came from an index. Claude Code is the real one and there already,
its model is the stub cloud on loopback: what a model thinks is not in the figures. It is the client, and by the default
settings it is also the executor that does the task.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.empty import ROOT, built
from omni_mcp.demo.answers import MARK

CLAUDE = ROOT / ".cache/npm/node_modules/.bin/claude"
LIMIT = 600
"""Seconds that one command may take."""
TASK = "写一个 Hello World 函数"
HAND_OFF = (
    {"tool": "mcp__omni__submit_task", "input": {"description": TASK, "wait_seconds": 50}},
    {"text": "done"},
)
"""What the stub makes of the prompt; the task itself it answers with a script of three shell steps."""
PASSED_ON = ("SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "https_proxy", "http_proxy", "no_proxy")
"""Variables of this machine that pip needs here."""


@contextmanager
def stub_cloud() -> Generator[str]:
    """Run the stub cloud; gives its address."""
    argv = [sys.executable, "-m", "omni_mcp.demo.cloud"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        try:
            yield f"http://127.0.0.1:{cloud.stdout.readline().split()[1]}"
        finally:
            cloud.terminate()


def commands(wheel: Path) -> Sequence[str]:
    """Return what a person types."""
    prompt = f"hand this to omni and tell me when it is done: {TASK}"
    return (
        "python3 -m venv ~/omni",
        f"~/omni/bin/pip install --quiet {wheel}",
        "~/omni/bin/omni-mcp install claude-code --yes",
        f"claude -p --allowedTools mcp__omni -- '{prompt} {MARK}{json.dumps(HAND_OFF)}'",
    )


def environment(home: Path) -> Mapping[str, str]:
    """Return a user's environment: nothing of ours, and an own HOME."""
    path = [str(CLAUDE.parent), str(Path(shutil.which("node") or "").parent), os.environ["PATH"]]
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "PATH": os.pathsep.join(path),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def log_in(home: Path, cloud: str) -> None:
    """Stand for the login of a user: Claude Code gives its own variables to no server, so they are in its settings."""
    settings = home / ".claude/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": cloud, "ANTHROPIC_API_KEY": "not-a-key"}}))


def timed(command: str, env: Mapping[str, str]) -> float:
    """Run a command as a person does; returns its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=env["HOME"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - began


def tasks(env: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    """Return the tasks of the home."""
    program = Path(env["HOME"], "omni/bin/omni-mcp")
    listed = subprocess.run([program, "list", "--json"], env=env, capture_output=True, text=True, check=True)
    return json.loads(listed.stdout)["tasks"]


def main() -> list[dict[str, Any]]:
    """Play it; returns a line for each command and one for the whole."""
    if not CLAUDE.exists():
        return []
    with tempfile.TemporaryDirectory(prefix="omni-first-") as folder, stub_cloud() as cloud:
        wheel, home = built(Path(folder, "dist")), Path(folder, "home")
        log_in(home, cloud)
        env = environment(home)
        try:
            seconds = [timed(command, env) for command in commands(wheel)]
            [task] = tasks(env)
            assert (task["state"], task["served_by"]) == ("completed", "claude_code"), task
        finally:
            subprocess.run([home / "omni/bin/omni-mcp", "engine", "stop"], env=env, check=False, capture_output=True)
    names = ("python3 -m venv", "pip install", "omni-mcp install claude-code", 'claude -p "hand this to omni …"')
    rows = [{"name": f"  {name}", "unit": "s", "ours": each} for name, each in zip(names, seconds, strict=True)]
    return [{"name": f"first task in Claude Code: {len(rows)} commands", "unit": "s", "ours": sum(seconds)}, *rows]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2, ensure_ascii=False))
