"""Redis and PostgreSQL for a measurement: Debian's programs, on free ports of loopback, gone with the body.

Each is told to have a write on disk before it answers, as our ledger has, unless the measurement says otherwise.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

LIMIT = 30.0
"""Seconds for a server to come up."""
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def redis(*, fsync: str) -> Generator[str]:
    """Run Redis with its append-only file, synced `always` or `everysec`; gives its URL."""
    assert REDIS is not None, "install redis-server"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="omni-redis-") as folder:
        options = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": "", "appendonly": "yes"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with _running([REDIS, *words, "--appendfsync", fsync], partial(listens, port)):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres() -> Generator[str]:
    """Run PostgreSQL as initdb sets it up, `fsync` and `synchronous_commit` on; gives its URL."""
    assert POSTGRES is not None, "install postgresql"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="omni-postgres-") as name:
        folder = Path(name)
        who = _unprivileged(folder)
        data = folder / "data"
        init = [*who, POSTGRES / "initdb", "--pgdata", data, "--username", "bench", "--auth", "trust"]
        subprocess.run(init, check=True, stdout=DEVNULL, cwd=folder)
        argv = [*who, POSTGRES / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        ready = [POSTGRES / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        with _running(argv, lambda: subprocess.run(ready, check=False).returncode == 0, cwd=folder):
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"


def _unprivileged(folder: Path) -> Sequence[str]:
    """Return what runs a command for PostgreSQL, which refuses root; the folder is its user's then."""
    if os.geteuid() != 0:
        return ()
    shutil.chown(folder, "postgres")
    return ("runuser", "--user", "postgres", "--")


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _running(argv: Sequence[str | Path], ready: Callable[[], bool], cwd: Path | None = None) -> Generator[None]:
    with subprocess.Popen(argv, cwd=cwd, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            until = time.monotonic() + LIMIT
            while not ready():
                assert process.poll() is None, f"{argv[-1]} ended with {process.returncode}"
                assert time.monotonic() < until, f"no answer of {argv[0]}"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
