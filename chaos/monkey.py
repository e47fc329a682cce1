"""What is done to a world: each fault point once, then kills, freezes, cuts and hunger as a seed tells."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import psutil

from chaos.clients import Clients
from chaos.face import FaceLost, Refused
from chaos.points import ARMED, ENGINE_POINTS, FACE_POINTS, FIRED
from chaos.world import World

POINT_LIMIT = 20.0
"""Seconds until a point that nobody reaches is given up."""
COMMON_LIMIT = 4.0
"""The same for one that is reached all the time."""
PATIENCE = 1.5
"""Seconds until what leads there is done once more."""
WELL_LIMIT = 10.0
"""Seconds to wait for an engine that may be killed again: one that dies right after its start makes all wait."""
COMMON = tuple(
    point
    for point in (*ENGINE_POINTS, *FACE_POINTS)
    if point.split()[-1]
    in ("announce", "begin", "bind", "checkpoint", "finish", "release", "wake_due", "run", "submit")
)
"""Points that are reached all the time."""
BURN = "import time\nend = time.time() + 1\nwhile time.time() < end: pass"
FROZEN = (0.2, 1.5)
"""Seconds that a process is stopped without being ended."""
EXECUTORS = {"session": "adapter (resume)", "attach": "adapter (attach)", "tool": "foreign server (retry, ask)"}
STUBS = tuple(EXECUTORS)
FREEZABLE = {
    "chaos.stubs.session": "adapter (resume)",
    "chaos.stubs.attach": "adapter (attach)",
    "chaos.stubs.tool": "foreign server",
    "chaos.stubs.worker": "child of an adapter",
    "chaos.stubs.gateway": "cloud",
    "chaos.face_main": "face",
}
PAUSES = (0.02, 0.2)
"""Seconds between two deeds."""


class Monkey:
    """Does harm; `random` alone decides what comes next."""

    def __init__(self, world: World, clients: Clients, seed: int) -> None:
        self._world = world
        self._clients = clients
        self._random = random.Random(seed)

    async def all_of(self, points: Sequence[str], until: float) -> Sequence[str]:
        """Let a process die at each of these points once; returns those not reached in two tries, or in time."""
        missed = points
        for _ in range(2):
            missed = [point for point in missed if time.monotonic() > until or not await self._die_at(point)]
        return missed

    async def one(self) -> None:
        """Do one thing."""
        deeds, weights = zip(*DEEDS.items(), strict=True)
        (deed,) = self._random.choices(deeds, weights)
        await deed(self)
        await anyio.sleep(self._random.uniform(*PAUSES))

    async def _die_at(self, point: str, limit: float = POINT_LIMIT) -> bool:
        if not point.startswith("face"):
            await self._engine_is_well()
        armed, fired = self._world.home / ARMED, self._world.home / FIRED
        fired.unlink(missing_ok=True)
        armed.with_suffix(".new").write_text(point)
        armed.with_suffix(".new").rename(armed)
        with anyio.move_on_after(limit):
            while not fired.exists():
                await self._provoke(point.split()[-1])
                await self._within(PATIENCE, fired)
        armed.unlink(missing_ok=True)
        if not fired.exists():
            return False
        self._world.kills[point] += 1
        if not point.startswith("face"):
            self._world.deaths.append(time.time())
        return True

    async def _within(self, seconds: float, fired: Path) -> None:
        with anyio.move_on_after(seconds):
            while not fired.exists():
                await anyio.sleep(0.01)

    async def _provoke(self, verb: str) -> None:
        """Have happen what does not happen by itself."""
        match verb:
            case "announce" | "release":
                await self._engine_is_well()
                self._kill_the_engine()
            case "retire":
                await self._engine_is_well()
                await self.stop_engine()
            case "park":
                await self.kill_executor()
            case "cancel" | "request_cancel":
                await self.cancel()
            case "hold":
                self._clients.ask_for("absent")
            case "resume":  # one whose outcome nobody knows waits for consent, and gets it
                self._clients.ask_for("once")
                self._kill_one(self._world.processes("chaos.stubs.tool"), EXECUTORS["tool"])
            case "report_health":
                self._clients.ask_for("broken")
                await self._engine_is_well()
                self._kill_the_engine()  # the next one has not yet seen that it is broken
            case _:
                pass

    async def common_point(self) -> None:
        """Die at a point that is reached all the time."""
        point = self._random.choice(COMMON)
        if point in FACE_POINTS or self._world.is_well:
            await self._die_at(point, limit=COMMON_LIMIT)

    async def kill_engine(self) -> None:
        """Kill the engine; its spare goes on. One that has just begun is left alone, there are others to kill."""
        if self._world.is_well:
            self._kill_the_engine()

    async def kill_engine_and_spare(self) -> None:
        """Kill both; a face has to start the next."""
        if self._world.is_well:
            for process in self._world.spares():
                self._world.kill(process, "spare of the engine")
            self._kill_the_engine()

    def _kill_the_engine(self) -> None:
        for process in self._engine():
            self._world.kill(process, "engine")

    async def kill_spare(self) -> None:
        """Kill the spare; nobody notices."""
        self._kill_one(self._world.spares(), "spare of the engine")

    async def kill_executor(self) -> None:
        """Kill an adapter or a foreign server."""
        stub = self._random.choice(STUBS)
        self._kill_one(self._world.processes(f"chaos.stubs.{stub}"), EXECUTORS[stub])

    async def kill_worker(self) -> None:
        """Kill the process that an adapter has started for a session."""
        self._kill_one(self._world.processes("chaos.stubs.worker"), "child of an adapter")

    async def kill_cloud(self) -> None:
        """Kill where the runs of `attach` live; it comes back, and goes on with what it remembers."""
        self._kill_one(self._world.processes("chaos.stubs.gateway"), "cloud")

    async def kill_face(self) -> None:
        """Kill a face in whatever it does."""
        self._kill_one(self._world.processes("chaos.face_main"), "face")

    async def stop_engine(self) -> None:
        """Ask the engine to park and go."""
        for process in self._engine():
            self._signal(process, signal.SIGTERM, "engine asked to go")

    async def cancel(self) -> None:
        """Cancel an open task."""
        rows = self._world.rows(
            "select id from tasks where open = 1 and executor in ('session', 'attach', 'repeat')"
            " order by state = 'executing' desc, n limit 3"
        )
        if not rows:
            return
        task = self._random.choice(rows)["id"]
        self._world.deeds["cancel"] += 1
        with suppress(FaceLost, Refused):
            await self._random.choice(self._world.faces).call("cancel_task", task_id=task)

    async def freeze_engine(self) -> None:
        """Stop the engine without ending it."""
        await self._freeze(self._engine(), "engine frozen")

    async def freeze_other(self) -> None:
        """Stop an executor, its child, the cloud or a face without ending it."""
        words = self._random.choice(list(FREEZABLE))
        await self._freeze(self._world.processes(words), f"{FREEZABLE[words]} frozen")

    async def starve(self) -> None:
        """Take the processors away from the engine for a second."""
        for process in self._engine():
            with suppress(psutil.Error):
                process.nice(19)
        burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(os.cpu_count() or 2)]
        self._world.deeds["starved"] += 1
        for burner in burners:
            await anyio.to_thread.run_sync(burner.wait)

    async def cut_executor(self) -> None:
        """Have an executor close its pipe and live on."""
        stub = self._random.choice(STUBS)
        self._signal_one(self._world.processes(f"chaos.stubs.{stub}"), signal.SIGUSR1, "executor's pipe cut")

    async def cut_cloud(self) -> None:
        """Drop all connections to the cloud."""
        self._signal_one(self._world.processes("chaos.stubs.gateway"), signal.SIGUSR1, "cloud's connections cut")

    async def cut_face(self) -> None:
        """End a face's stdin."""
        self._world.deeds["face's pipe cut"] += 1
        await self._random.choice(self._world.faces).cut()

    async def _engine_is_well(self) -> None:
        with anyio.move_on_after(WELL_LIMIT):
            while not self._world.is_well:
                await anyio.sleep(0.05)

    def _engine(self) -> Sequence[psutil.Process]:
        try:
            return [psutil.Process(self._world.engine)] if self._world.engine else []
        except psutil.NoSuchProcess:
            return []

    def _kill_one(self, processes: Sequence[psutil.Process], what: str) -> None:
        if processes:
            self._world.kill(self._random.choice(processes), what)

    def _signal_one(self, processes: Sequence[psutil.Process], number: int, what: str) -> None:
        if processes:
            self._signal(self._random.choice(processes), number, what)

    def _signal(self, process: psutil.Process, number: int, what: str) -> None:
        with suppress(psutil.Error):
            process.send_signal(number)
            self._world.deeds[what] += 1

    async def _freeze(self, processes: Sequence[psutil.Process], what: str) -> None:
        if not processes:
            return
        process = self._random.choice(processes)
        self._signal(process, signal.SIGSTOP, what)
        await anyio.sleep(self._random.uniform(*FROZEN))
        with suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)


DEEDS: Mapping[Callable[[Monkey], Awaitable[None]], int] = {
    Monkey.kill_engine: 24,
    Monkey.kill_engine_and_spare: 2,
    Monkey.kill_spare: 3,
    Monkey.kill_executor: 20,
    Monkey.kill_worker: 16,
    Monkey.kill_cloud: 8,
    Monkey.kill_face: 6,
    Monkey.common_point: 16,
    Monkey.stop_engine: 2,
    Monkey.cancel: 4,
    Monkey.freeze_engine: 2,
    Monkey.freeze_other: 5,
    Monkey.starve: 1,
    Monkey.cut_executor: 5,
    Monkey.cut_cloud: 3,
    Monkey.cut_face: 3,
}
"""What may be done, and how often."""
