"""A home with everything that runs in it: faces, engine, executors, cloud; and what was promised to its clients."""

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil

from chaos.face import ROOT, Face, environment
from chaos.stubs.gateway import SOCKET
from chaos.stubs.journal import CLOUD, HOME, LOG, RUNS, SESSIONS, read
from omni_mcp import background
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from omni_mcp.spare import TOO_SOON

KINDS: Mapping[str, int] = {"session": 5, "attach": 3, "repeat": 3, "once": 2, "absent": 1, "broken": 1}
"""Executors, and how often each is asked for; the last two can never run anything."""
NOBODY = frozenset({"absent", "broken"})
CLOUD_PAUSE = 0.4
"""Seconds that a cloud that died is away at most."""
CLOUD_LIMIT = 10.0
"""Seconds for the cloud to listen."""


def servers(home: Path) -> Mapping[str, Any]:
    """Return servers.yaml: an executor of each recovery class, one that is not there and one that ends at once."""
    env = {"PYTHONPATH": str(ROOT), HOME: str(home)}
    started = {"command": sys.executable, "env": env, "connect_timeout": 5, "timeout": 60}
    arguments = {"text": "{description}", "task_id": "{task_id}", "attempt": "{attempt}"}
    tool = {**started, "args": ["-m", "chaos.stubs.tool"], "tool": "work", "arguments": arguments, "parallel": 2}
    return {
        "executors": {
            "session": {
                **started,
                "args": ["-m", "chaos.stubs.session"],
                "recovery": "resume",
                "parallel": 3,
                "handles": ["x"],
            },
            "attach": {
                **started,
                "args": ["-m", "chaos.stubs.attach"],
                "recovery": "attach",
                "parallel": 2,
                "handles": ["y"],
            },
            "repeat": {**tool, "recovery": "retry"},
            "once": tool,
            "absent": {"command": "no-such-program", "tool": "work"},
            "broken": {**started, "args": ["-c", "raise SystemExit(3)"], "tool": "work"},
        },
        "routing": {"rules": [], "default": "repeat"},
        "limits": {"max_attempts": 100},
    }


@dataclass
class World:
    """What there is, what was promised, and what was done to it."""

    home: Path
    mix: Mapping[str, int] = field(default_factory=lambda: KINDS)
    """How often each executor is asked for."""
    acked: dict[str, str] = field(default_factory=dict[str, str])
    """The task of each key that a face acknowledged."""
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    """Which executor each of these tasks was for."""
    consents: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """The attempts of tasks after which we consented to one more, however often we had to say it."""
    kills: Counter[str] = field(default_factory=Counter[str])
    deeds: Counter[str] = field(default_factory=Counter[str])
    """What was done besides killing."""
    deaths: list[float] = field(default_factory=list[float])
    """When an engine was killed."""
    unreasoned: Counter[str] = field(default_factory=Counter[str])
    """Tasks that were seen in a state without a reason."""
    faces: list[Face] = field(default_factory=list[Face])
    cloud: "subprocess.Popen[bytes] | None" = None

    @property
    def journal(self) -> Sequence[Mapping[str, Any]]:
        """What the executors did; each file in its order."""
        files = [self.home / LOG, *(self.home / SESSIONS).iterdir(), *(self.home / CLOUD).iterdir()]
        return [line for file in files for line in read(file)]

    @property
    def engine(self) -> int | None:
        """The pid of the engine."""
        return holder(Home(self.home).engine_lock) or None

    @property
    def is_served(self) -> bool:
        """Whether there is an engine."""
        return self.engine is not None

    @property
    def log(self) -> str:
        """What the engines printed."""
        return (self.home / "logs" / "engine.log").read_text(errors="replace")

    def open_face(self) -> Face:
        """Return a face more; it is closed with the others."""
        face = Face(self.home)
        self.faces.append(face)
        return face

    @property
    def is_well(self) -> bool:
        """Whether the engine is up, has done its first turn, and has lived for long enough that its spare goes on."""
        rows = self.rows("select started_at from engines where pid = ? and gone_at is null", self.engine)
        young = not rows or time.time() - rows[0]["started_at"] / 1e6 < TOO_SOON
        return not young and not Home(self.home).engine_crashes.exists()

    def rows(self, statement: str, *values: Any) -> Sequence[sqlite3.Row]:
        """Read the ledger as any other program would; before there is one there is nothing."""
        try:
            with closing(sqlite3.connect(f"{(self.home / 'ledger.db').as_uri()}?mode=ro", uri=True)) as db:
                db.row_factory = sqlite3.Row
                return db.execute(statement, values).fetchall()
        except sqlite3.OperationalError:
            if self.acked:
                raise
            return []

    def processes(self, words: str = "") -> Sequence[psutil.Process]:
        """Return the living processes of this home whose command line has these words."""
        return [each for each in psutil.process_iter() if _is_of(each, self.home, words)]

    def spares(self) -> Sequence[psutil.Process]:
        """Return the processes that wait for the death of the engine."""
        engine = self.engine
        return [each for each in self.processes("chaos.engine_main") if each.pid != engine]

    def start_cloud(self) -> None:
        """Start the process in which the runs of `attach` live; it remembers what one before it did."""
        argv = [sys.executable, "-m", "chaos.stubs.gateway"]
        self.cloud = subprocess.Popen(argv, env=environment(self.home), cwd=self.home)

    async def keep_cloud(self) -> None:
        """Start it anew whenever it has died; for ever."""
        while True:
            await anyio.sleep(CLOUD_PAUSE)
            if self.cloud is not None and self.cloud.poll() is not None:
                self.start_cloud()

    def end_cloud(self) -> None:
        """Kill it."""
        if self.cloud is not None:
            self.cloud.kill()
            self.cloud.wait()

    def kill(self, process: psutil.Process, what: str) -> None:
        """Kill, and count it."""
        if process.pid == self.engine:
            self.deaths.append(time.time())
        with suppress(psutil.Error):
            process.kill()
            self.kills[what] += 1


def _is_of(process: psutil.Process, home: Path, words: str) -> bool:
    try:
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and process.environ().get(HOME) == str(home) and words in " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return False


@contextmanager
def world(home: Path) -> Generator[World]:
    """Make a home and its cloud; at the end the engine is stopped and the cloud ended. To be used in `guarded`."""
    for name in (RUNS, SESSIONS, CLOUD):
        (home / name).mkdir(parents=True)
    (home / "servers.yaml").write_text(json.dumps(servers(home)), encoding="utf-8")
    here = World(home)
    here.start_cloud()
    _await(home / SOCKET)
    yield here
    background.stop(Home(home))
    here.end_cloud()


def _await(path: Path) -> None:
    deadline = time.monotonic() + CLOUD_LIMIT
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(str(path))
        time.sleep(0.02)
