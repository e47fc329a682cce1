"""A fork server for `omni-mcp …`: all is imported once for many tests, and a command or a face starts in a moment.

What comes of it is a process of its own with its own streams, environment and folder, as if it had been started. An
engine, an executor and what a test names by its path are started as ever. Linux only: elsewhere nothing is forked.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).parent / "stubs" / "forked.py"
IMPORTED = ("cli", "doctor", "http", "stdio", "standing", "webhooks", "faces.hooks", "faces.watch")
"""What commands import, the ones at their start and the others in the middle."""
STREAMS = 3

_places: list[str] = []
"""Where the one of this test process listens, while there is one."""


@contextmanager
def running() -> Generator[None]:
    """Have all that `command` names forked until the body ends; where coverage is measured nothing is."""
    if sys.platform != "linux" or any(name.startswith("COVERAGE_") for name in os.environ):
        yield
        return
    place = f"omni-mcp-tests-{os.getpid()}"
    env = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    argv = [sys.executable, "-m", "tests.forkserver", place]
    root = Path(__file__).parents[1]
    with subprocess.Popen(argv, env=env, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        _places.append(place)
        try:
            yield
        finally:
            _places.remove(place)
            server.stdin.close()


def command(*arguments: str) -> Sequence[str]:
    """Return the command line of `omni-mcp …`."""
    if not _places:
        return [sys.executable, "-m", "omni_mcp", *arguments]
    return [sys.executable, "-I", "-S", str(LAUNCHER), _places[-1], *arguments]


def main(place: str) -> None:
    """Serve until stdin ends; returns in none but the child that was asked for, which goes on as `omni-mcp`."""
    for name in IMPORTED:
        import_module(f"omni_mcp.{name}")
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"\0{place}")
        door.listen(64)
        os.write(1, b"ready\n")
        while door in select.select([door, 0], [], [])[0]:
            connection, _ = door.accept()
            if os.fork() == 0:
                door.close()
                break
            connection.close()
        else:
            sys.exit()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _become(*_heard(connection))


def _heard(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    """Read what is to be started; returns in a child, whose end is told to whoever asked, and which ends with them."""
    said, streams, _, _ = socket.recv_fds(connection, 1 << 20, STREAMS)
    while not said.endswith(b"\n"):
        said += connection.recv(1 << 20)
    if (child := os.fork()) == 0:
        connection.close()
        return json.loads(said), streams
    for stream in (*streams, *range(STREAMS)):
        os.close(stream)
    if connection in select.select([connection, os.pidfd_open(child)], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # nobody is there any more
        connection.sendall(str(code).encode())
    os._exit(0)


def _become(order: dict[str, Any], streams: Sequence[int]) -> None:
    """Go on as a process that was started so."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv[1:] = order["argv"]
    runpy.run_module("omni_mcp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
