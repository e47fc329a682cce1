"""Our modules where only that exists which Windows or macOS has, as far as that can be had on another system.

python -m tests.elsewhere PLATFORM HOME: imports every module of ours, submits a task over a face and reads it back, has
the doctor look, and says who would keep us alive and show notices. What others brought in before stays: only our own
code is the question. Paths stay those of this system.
"""

import errno
import importlib
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio

ABSENT = {
    "win32": {
        "modules": ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"),
        "os": ("fork", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "pread", "register_at_fork", "setsid"),
        "signal": ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGCONT", "SIGUSR1", "SIGUSR2"),
    },
    "darwin": {"modules": (), "os": ("memfd_create", "pidfd_open", "sched_getaffinity"), "signal": ("SIGPWR",)},
}
"""What the documentation of Python says is not there."""


def preload() -> None:
    """Import what is not ours, as this system has it: all that our modules need."""
    for module in pkgutil.walk_packages(importlib.import_module("omni_mcp").__path__, "omni_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def byte_locks() -> ModuleType:
    """Return what stands for Windows's `msvcrt`: a lock on one byte, for each opening of a file."""
    import fcntl

    module = ModuleType("msvcrt")
    known = {"LK_LOCK": 1, "LK_NBLCK": 2, "LK_UNLCK": 0}

    def locking(fd: int, mode: int, _count: int) -> None:
        if mode == known["LK_UNLCK"]:
            fcntl.flock(fd, fcntl.LOCK_UN)
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # LK_LOCK gives up after 10 s, and here at once
        except BlockingIOError as error:
            raise OSError(errno.EDEADLOCK, "locked by somebody else") from error

    vars(module).update(known, locking=locking)
    return module


class OtherOs(ModuleType):
    """`os` as our modules see it there; what others see stays, for `pathlib` would make paths that cannot be here."""

    name = "nt"

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def pretend(platform: str) -> None:
    """Take away what that system does not have, and forget our modules, which have seen this one."""
    absent = ABSENT[platform]
    if platform == "win32":
        sys.modules["msvcrt"] = byte_locks()
    for name in absent["modules"]:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in ((os, absent["os"]), (signal, absent["signal"])):
        for name in names:
            with suppress(AttributeError):
                delattr(module, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "omni_mcp"]:
        del sys.modules[name]
    sys.platform = platform


def say_nt() -> None:
    """Have our modules read another `os.name`."""
    for name, module in sys.modules.items():
        if name.partition(".")[0] == "omni_mcp" and vars(module).get("os") is os:
            vars(module)["os"] = OtherOs("os")


def looks(folder: Path) -> None:
    """Have the doctor look, and ask who keeps us alive and who shows notices; hiding does what it can, or nothing."""
    from omni_mcp import hidden
    from omni_mcp.autostart import keeper_for
    from omni_mcp.clients.launch import console_script
    from omni_mcp.doctor.report import examine
    from omni_mcp.errors import BadRequest
    from omni_mcp.home import Home
    from omni_mcp.notify.desktop import desktop

    home = Home(folder)
    broken = [each.text for each in examine(home) if each.code == "check-broken"]
    assert not broken, broken
    hidden.hide_environment()
    hidden.hide_memory()
    script = folder / "omni-mcp.exe"
    script.touch(mode=0o755)
    sys.argv[0] = str(script)
    assert console_script() == str(script)
    try:
        keeper = keeper_for(home).name
    except BadRequest as error:
        keeper = str(error)
    sys.stdout.write(f"{keeper}\n{desktop()}\n")


async def works(folder: Path) -> None:
    """Submit a task over a face, read it back, and cancel it."""
    from fastmcp import Client

    from omni_mcp.app.face import running_face
    from omni_mcp.faces.mcp import create_face
    from omni_mcp.home import Home
    from tests.integration.house import call, listed

    async with Client(create_face(partial(running_face, Home(folder), engine="here"))) as client:
        task = await call(client, "submit_task", description="elsewhere")
        assert [each["task_id"] for each in await listed(client)] == [task["task_id"]]


def main() -> None:
    """Run it all."""
    preload()
    pretend(sys.argv[1])
    preload()
    if sys.argv[1] == "win32":
        say_nt()
    anyio.run(works, Path(sys.argv[2]))
    looks(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
