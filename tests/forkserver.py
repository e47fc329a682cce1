"""A fork server for `omni-mcp …`: all is imported once for many tests, and a command or a face starts in a moment.

What comes of it is a process of its own with its own streams, environment and folder, as if it had been started, also
to who looks into `/proc`. What that starts of ours is forked, too: its engine, our adapters. What a test starts by the
interpreter starts as it does for a user. Linux only: elsewhere nothing is forked.
"""

import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

LAUNCHER = Path(__file__).with_name("forked.py")
IMPORTED = (
    *("cli", "doctor", "http", "stdio", "standing", "webhooks", "faces.hooks", "faces.watch"),
    *("engine_process", "engine", "executors.pool", "llm.relay", "llm.router", "memory.outbox", "scheduler"),
)
"""What commands and engines import, the ones at their start and the others in the middle."""
ADAPTERS = ("assistant", "claude_code", "openclaw", "repair_ladder")
OURS = "omni_mcp"
STREAMS = 3
ROOM = 16 << 10
"""Bytes for the environment of a fork, where the kernel shows it."""

_places: list[str] = []
"""Where the one of this test process listens, while there is one."""


@contextmanager
def running() -> Generator[None]:
    """Have all that `command` names forked until the body ends; where coverage is measured nothing is."""
    if sys.platform != "linux" or any(name.startswith("COVERAGE_") for name in os.environ):
        yield
        return
    place = f"omni-mcp-tests-{os.getpid()}"
    env = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ} | {"ROOM": " " * ROOM}
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


def command(*arguments: str, module: str = OURS) -> Sequence[str]:
    """Return the command line of `omni-mcp …`, or of another program of ours."""
    if not _places:
        return [sys.executable, "-m", module, *arguments]
    return _launched(_places[-1], module, *arguments)


def _launched(place: str, module: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-I", "-S", str(LAUNCHER), place, module, *arguments]


def main(place: str) -> None:
    """Serve until stdin ends; returns in none but the child that was asked for, which goes on as `omni-mcp`."""
    for name in IMPORTED:
        import_module(f"{OURS}.{name}")
    for name in ADAPTERS:
        import_module(f"{OURS}.adapters.{name}")
        del sys.modules[f"{OURS}.adapters.{name}"]  # what it needs is there; itself it will be run as a program
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
    order, files = _heard(connection)
    _fork_what_is_ours(place)
    _become(order, files)


def _heard(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    """Read what is to be started; returns in a child, whose pid and end are told to whoever asked.

    It ends with them, unless it has a session of its own.
    """
    said, files, _, _ = socket.recv_fds(connection, 1 << 20, STREAMS + 1)
    while not said.endswith(b"\n"):
        said += connection.recv(1 << 20)
    order = json.loads(said)
    if (child := os.fork()) == 0:
        connection.close()
        return order, files
    for file in (*files, *range(STREAMS)):
        os.close(file)
    with suppress(OSError):
        connection.sendall(f"{child}\n".encode())
    end = os.pidfd_open(child)
    if not order["session"] and connection in select.select([connection, end], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):  # nobody is there any more
        connection.sendall(str(code).encode())
    os._exit(0)


def _become(order: dict[str, Any], files: Sequence[int]) -> None:
    """Go on as a process that was started so."""
    for number, file in zip((*range(STREAMS), *order["kept"]), files, strict=True):
        os.dup2(file, number)
    for file in set(files) - set(order["kept"]):
        os.close(file)
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    _show(order["env"])
    time.tzset()
    sys.argv[1:] = order["argv"]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _show(env: Mapping[str, str]) -> None:
    """Write the environment to where the kernel shows it: by the marks there an engine finds what it has to end."""
    from omni_mcp.hidden import _place  # pyright: ignore[reportPrivateUsage]

    start, end = _place()
    block = b"".join(os.fsencode(f"{name}={value}\0") for name, value in env.items())
    assert len(block) <= end - start, f"more than {ROOM} bytes of environment"
    ctypes.memmove(start, block.ljust(end - start, b"\0"), end - start)


def _fork_what_is_ours(place: str) -> None:
    """Have this process fork what it starts of ours, instead of starting it by the interpreter."""
    from omni_mcp import background

    start = subprocess.Popen.__init__

    def forked(self: Any, args: Any, *more: Any, **options: Any) -> None:
        start(self, _in_our_way(place, args), *more, **options)

    subprocess.Popen.__init__ = forked  # type: ignore[method-assign]
    background.subprocess = SimpleNamespace(Popen=partial(Forked, place), DEVNULL=subprocess.DEVNULL)


def _in_our_way(place: str, args: Any) -> Any:
    """Return a command line; `python -P -m omni_mcp.x …` as what has it forked."""
    if not isinstance(args, Sequence) or isinstance(args, str | bytes):
        return args
    words, program = list(cast(Sequence[Any], args)), [sys.executable, "-P", "-m"]
    for at in range(len(words) - 3):
        if words[at : at + 3] == program and words[at + 3].startswith(OURS):
            return [*words[:at], *_launched(place, *words[at + 3 :])]
    return words


class Forked:
    """An engine that was forked: what `background` needs of a `Popen`."""

    def __init__(self, place: str, argv: Sequence[str], **options: Any) -> None:
        module, *rest = argv[3:]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(f"\0{place}")
        kept = list(options["pass_fds"])
        order = {
            "module": module,
            "argv": rest,
            "cwd": str(options["cwd"]),
            "env": options["env"],
            "kept": kept,
            "session": True,
        }
        with Path(os.devnull).open("rb") as nothing:
            files = [nothing.fileno(), options["stdout"].fileno(), options["stderr"].fileno(), *kept]
            socket.send_fds(self._server, [json.dumps(order).encode() + b"\n"], files)
        self.pid = int(self._server.makefile().readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code once it has ended."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.returncode = int(self._server.recv(64) or b"-9")
        return self.returncode


if __name__ == "__main__":
    main(sys.argv[1])
