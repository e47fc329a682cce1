"""Machines with engines and machines with faces, on one PostgreSQL and one Redis, and what was promised to clients."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from chaos.face import Face, environment
from chaos.fleet.lan import Lan, Place, lan
from chaos.fleet.servers import Servers, servers
from chaos.stubs.journal import CLOUD, HOME, RUNS, SESSIONS
from chaos.world import World
from chaos.world import servers as executors

ENGINES, FACES = 3, 2
MIX: Mapping[str, int] = {"session": 4, "repeat": 3, "once": 2}
"""Executors of a fleet, one of each recovery class whose runs live on the machine of their engine."""
NO_IDLE = 86_400
"""Seconds without a task after which an engine ends: these are not ended."""


@dataclass(slots=True)
class Machine:
    """A home of its own in a namespace of its own."""

    name: str
    place: Place
    home: Path
    env: Mapping[str, str]
    engine: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start its engine, as a supervisor would."""
        argv = [sys.executable, "-m", "omni_mcp", "engine", "run"]
        with (self.home / "engine.out").open("ab") as log:
            self.engine = subprocess.Popen(
                self.place.argv(argv), env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )


@dataclass(kw_only=True)
class Fleet(World):
    """All machines together; its home is the folder in which the executors write down what they did."""

    lan: Lan
    servers: Servers
    machines: list[Machine] = field(default_factory=list[Machine])
    desks: list[Machine] = field(default_factory=list[Machine])
    """Where the faces are."""

    def __post_init__(self) -> None:
        """Give each new face the next desk."""
        self._next = cycle(range(FACES))

    def signal(self, machine: Machine, number: int, *, engine_only: bool = False) -> None:
        """Send a signal to all that runs on a machine, or to its engine alone."""
        engine = [] if machine.engine is None else [machine.engine.pid]
        for pid in engine if engine_only else self.lan.processes(machine.name):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def is_served(self) -> bool:
        """Whether there is an engine."""
        return True

    @property
    def log(self) -> str:
        """What the engines printed."""
        files = [file for machine in self.machines for file in (machine.home / "engine.out",)]
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def open_face(self) -> Face:
        """Return a face more, at the next desk."""
        desk = self.desks[next(self._next)]
        face = Face(desk.home, desk.place.argv([sys.executable, "-m", "omni_mcp"]), **desk.env)
        self.faces.append(face)
        return face

    def rows(self, statement: str, *values: Any) -> Sequence[Mapping[str, Any]]:  # type: ignore[override]
        """Read the ledger as any other program would, past the network."""
        return self.servers.rows(statement.replace("%", "%%").replace("?", "%s"), values)


@contextmanager
def fleet(folder: Path) -> Generator[Fleet]:
    """Start servers, engines and faces; all of it is gone at the end. To be used in `guarded`."""
    folder.chmod(0o755)
    shared = folder / "shared"
    for name in (RUNS, SESSIONS, CLOUD):
        (shared / name).mkdir(parents=True)
    config = shared / "servers.yaml"
    config.write_text(json.dumps(_settings(shared)), encoding="utf-8")
    with ExitStack() as stack:
        network = stack.enter_context(lan())
        there = stack.enter_context(servers(folder, network.hub))
        here = Fleet(home=shared, mix=MIX, lan=network, servers=there)
        for number in range(ENGINES):
            here.machines.append(_machine(f"engine{number}", folder, here, config))
        for number in range(FACES):
            here.desks.append(_machine(f"desk{number}", folder, here, config))
        stack.callback(_end, here)
        for machine in here.machines:
            machine.start()
        yield here


def _machine(name: str, folder: Path, here: Fleet, config: Path) -> Machine:
    home = folder / name
    home.mkdir()
    env = {**environment(home), **here.servers.urls, HOME: str(here.home), "OMNI_CONFIG": str(config)}
    return Machine(name, here.lan.plug_in(name), home, {**env, "OMNI_MACHINE": name})


def _settings(shared: Path) -> Mapping[str, Any]:
    """Return the settings of all machines: those of chaos, without what one machine alone has."""
    whole = dict(executors(shared))
    rows = {name: row for name, row in whole["executors"].items() if name in MIX}
    return {**whole, "executors": rows, "limits": {**whole["limits"], "engine_idle_seconds": NO_IDLE}}


def _end(here: Fleet) -> None:
    for machine in (*here.machines, *here.desks):
        while here.lan.processes(machine.name):
            here.signal(machine, signal.SIGKILL)
            time.sleep(0.1)
        if machine.engine is not None:
            machine.engine.wait()
