"""A real PostgreSQL for the tests: Debian's package, on a free port, in a folder of its own; a schema a ledger."""

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD, DATABASE = "omni", "no-real-secret", "ledgers"
CONFIG = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 200
shared_buffers = 32MB
"""


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs: Debian keeps them off the PATH."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = known[-1] if known else shutil.which("initdb")
    return None if found is None else Path(found).parent


class Server:
    """A server that runs, or has been stopped."""

    def __init__(self, folder: Path, *, config: str = CONFIG) -> None:
        self.folder = folder
        self.port = _free_port()
        self._bin = programs()
        self._config = config
        self._watch: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make its data."""
        (self.folder / "password").write_text(PASSWORD)
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        said = ("-A", "scram-sha-256", "--pwfile", str(self.folder / "password"), "--no-sync", "-E", "UTF8")
        self._run("initdb", "-D", str(self.data), "-U", USER, "--locale", "C.UTF-8", *said)
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(f"{self._config}\nport = {self.port}\nunix_socket_directories = '{self.folder}'\n")

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.folder / "log"))
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        ends = f"exec 3<&0; (read _ <&3; kill -QUIT {pid}) 2>/dev/null &"  # with us, however we end
        self._watch = subprocess.Popen(["/bin/sh", "-c", ends], stdin=subprocess.PIPE)
        self._watch.wait()

    def stop(self, how: str = "fast") -> None:
        """Stop it: `fast` says goodbye to its clients, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-m", how, "-D", str(self.data))
        if self._watch is not None and self._watch.stdin is not None:
            self._watch.stdin.close()

    def url(self, database: str = DATABASE, *, schema: str | None = None, password: str = PASSWORD) -> str:
        """Return the address of a ledger."""
        place = f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"
        return place if schema is None else f"{place}?options=-csearch_path%3D{schema}"

    def execute(self, statement: str, *, database: str = DATABASE) -> Sequence[Any]:
        """Run a statement as the owner of all."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as db:
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def schema_of(self, folder: Path) -> str:
        """Return the schema that stands for a folder's ledger; it is made where it is not there."""
        name = f"l{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
        self.execute(f"create schema if not exists {name}")
        return name

    def drop(self, schema: str) -> None:
        """Remove a schema."""
        self.execute(f"drop schema if exists {schema} cascade")

    def _run(self, program: str, *arguments: str) -> None:
        as_somebody = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        where = self._bin or Path()
        clean = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        subprocess.run(
            [*as_somebody, str(where / program), *arguments],
            cwd=self.folder,
            env=clean,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def a_server(*, config: str = CONFIG) -> Generator[Server]:
    """Run a server; a test that wants one where there is none is skipped, and says what to install."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'omni-mcp[cluster]'")
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="omni-postgres-", dir="/tmp"))  # where another user may go
    server = Server(folder, config=config)
    try:
        server.create()
        server.start()
        try:
            server.execute(f"create database {DATABASE}", database="postgres")
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
