"""The stdio face as a child: only messages on stdout, however poor its surroundings; it ends with who started it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from anyio.to_thread import run_sync

from tests.integration.house import House, house, until

pytestmark = pytest.mark.timeout(400)
ANSWERS = 180.0
"""Seconds; on an idle machine it takes 1."""
ARGV = (sys.executable, "-m", "omni_mcp")
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
SAID: Sequence[Mapping[str, Any]] = (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}},
)
SPOKEN = "".join(json.dumps(each) + "\n" for each in SAID).encode()
BAD = (
    "executors: {bench: {command: /nowhere, tool: t, handles: [x]}}\nhttp: {tokens: {a: {token: ${NOT_SET}}}}\nodd: 1\n"
)


def started(env: Mapping[str, str], *before: str) -> "subprocess.Popen[bytes]":
    """Start a face that has been greeted and asked for a list."""
    argv = [*before, *ARGV]
    face = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert face.stdin
    face.stdin.write(SPOKEN)
    face.stdin.flush()
    return face


def answered(face: "subprocess.Popen[bytes]") -> Any:
    """Return what the list is; whatever comes before on stdout is a message, too."""
    assert face.stdout
    for line in face.stdout:
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if message.get("id") == 2:
            return message["result"]
    raise AssertionError(face.stderr and face.stderr.read())


def poor(here: House, **more: str) -> dict[str, str]:
    """Return an environment without a HOME, and in which Python writes no bytecode."""
    env = {**here.env, "PYTHONDONTWRITEBYTECODE": "1", **more}
    return {name: value for name, value in env.items() if name not in ("HOME", "USER", "LOGNAME")}


async def test_it_says_only_messages_and_ends_with_stdin_by_a_signal_and_with_its_parent(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.home.servers.write_text(BAD)
        by_eof, by_term, by_int = [started(poor(here)) for _ in range(3)]
        parent = started(poor(here), sys.executable, "-c", PARENT)
        faces = (by_eof, by_term, by_int, parent)
        try:
            for face in faces:
                assert (await run_sync(answered, face))["structuredContent"] == {"tasks": []}
            child = psutil.Process(parent.pid).children()[0]
            by_term.send_signal(signal.SIGTERM)
            by_int.send_signal(signal.SIGINT)
            parent.kill()
            ends = [await run_sync(lambda face=face: face.wait(ANSWERS)) for face in (by_term, by_int, parent)]
            assert ends == [-signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL]
            await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, limit=ANSWERS)
            out, _ = await run_sync(lambda: by_eof.communicate(timeout=ANSWERS))
            assert (by_eof.returncode, out) == (0, b"")
        finally:
            for face in faces:
                face.kill()
                face.communicate()


PARENT = """
import subprocess, sys
face = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
for line in sys.stdin.buffer:
    face.stdin.write(line)
    face.stdin.flush()
"""
"""A client that starts the face, and holds its stdin alone: when it dies the kernel closes that."""


async def test_where_nothing_can_be_written_it_answers_with_what_to_do(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        (tmp_path / "a-file").touch()
        for place in ("/proc/omni", str(tmp_path / "a-file" / "home")):
            if place.startswith("/proc") and not os.path.isdir("/proc/self"):  # noqa: PTH112
                continue
            face = started(poor(here, OMNI_HOME=place))
            try:
                told = (await run_sync(answered, face))["structuredContent"]
                assert (told["code"], bool(told["next_step"])) == ("ledger_unusable", True), told
            finally:
                face.kill()
                face.communicate()
