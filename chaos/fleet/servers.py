"""PostgreSQL and Redis of a fleet, in its hub: they can be killed, frozen, emptied and started again."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from chaos.fleet.lan import HUB, Place

NAME, PASSWORD = "omni", "of-a-fleet"
"""User, database and password of servers that live for one run, in a network of their own."""
LIMIT = 60.0
"""Seconds for a server to come up."""
NOBODY = "postgres"
"""The user that PostgreSQL runs as where we are root: it refuses to be that."""


@dataclass(slots=True)
class Server:
    """A program in the hub."""

    place: Place
    argv: Sequence[str]
    log: Path
    is_up: Callable[[], bool]
    process: "subprocess.Popen[bytes] | None" = None
    frozen: bool = False

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.place.argv(self.argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + LIMIT
        while not self.is_up():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(
                    f"{self.argv[0]} did not come up: {self.log.read_text(encoding='utf-8', errors='replace')[-500:]}"
                )
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a fault of the machine would, with all its processes."""
        psutil.wait_procs(self._signal(signal.SIGKILL), LIMIT)
        if self.process is not None:
            self.process.wait()

    def freeze(self) -> None:
        """Stop it where it is."""
        self.frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def _signal(self, number: int) -> Sequence[psutil.Process]:
        """Send a signal to the server and its children, which are in sessions of their own; returns them."""
        if self.process is None or self.process.poll() is not None:
            return []
        first = psutil.Process(self.process.pid)
        found = [first, *first.children(recursive=True)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return found


@dataclass(slots=True)
class Servers:
    """Both, and how they are reached: by the machines through the network, by us through sockets in a folder."""

    postgres: Server
    redis: Server
    sockets: Path
    urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the machines' environment says."""

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Mapping[str, Any]]:
        """Read the ledger as any other program would; while it is away, frozen, or empty, there is nothing."""
        if self.postgres.frozen:
            return []
        try:
            with psycopg.connect(self._local, connect_timeout=2) as db, db.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(statement.encode(), values).fetchall()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def wipe_redis(self) -> None:
        """Forget all nudges."""
        cli = [_program("redis-cli", "valkey-cli"), "-s", str(self.sockets / "redis"), "-a", PASSWORD, "flushall"]
        subprocess.run(cli, check=True, capture_output=True, timeout=LIMIT)

    @property
    def _local(self) -> str:
        return f"host={self.sockets} dbname={NAME} user={NAME} password={PASSWORD}"


@contextmanager
def servers(folder: Path, hub: Place) -> Generator[Servers]:
    """Start both in the hub; they are killed at the end."""
    sockets = folder / "sockets"
    sockets.mkdir()
    sockets.chmod(0o777)
    postgres = Server(hub, _initialised(folder, sockets), folder / "postgres.log", lambda: _answers(sockets))
    there = sockets / "redis"
    options = {"bind": HUB, "unixsocket": there, "requirepass": PASSWORD, "save": "", "dir": folder}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    redis = Server(hub, [_program("redis-server", "valkey-server"), *words], folder / "redis.log", there.exists)
    urls = {
        "OMNI_LEDGER": f"postgresql://{NAME}:{PASSWORD}@{HUB}:5432/{NAME}",
        "OMNI_DISPATCH": f"redis://:{PASSWORD}@{HUB}:6379/0",
    }
    try:
        postgres.start()
        _sql(sockets, f"create database {NAME}")
        redis.start()
        yield Servers(postgres, redis, sockets, urls)
    finally:
        postgres.kill()
        redis.kill()


def _initialised(folder: Path, sockets: Path) -> Sequence[str]:
    """Make a cluster; returns the command line of its server."""
    data, word = folder / "postgres", folder / "word"
    word.write_text(PASSWORD)
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))
    if binaries is None:
        raise FileNotFoundError("PostgreSQL is not installed: make servers")
    data.mkdir()
    for path in (data, word):
        shutil.chown(path, NOBODY)
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    init = ["--pgdata", str(data), "--username", NAME, "--auth", "scram-sha-256", "--pwfile", str(word), "--no-sync"]
    subprocess.run([*as_nobody, str(binaries / "initdb"), *init], check=True, capture_output=True, timeout=LIMIT)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/24 scram-sha-256\n")
    return [*as_nobody, str(binaries / "postgres"), "-D", str(data), "-h", HUB, "-p", "5432", "-k", str(sockets)]


def _answers(sockets: Path) -> bool:
    try:
        _sql(sockets, "select 1")
    except psycopg.OperationalError:
        return False
    return True


def _sql(sockets: Path, statement: str) -> None:
    local = f"host={sockets} dbname=postgres user={NAME} password={PASSWORD} connect_timeout=5"
    with psycopg.connect(local, autocommit=True) as db:
        db.execute(statement.encode())


def _program(*names: str) -> str:
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    raise FileNotFoundError(f"{names[0]} is not installed: make servers")
