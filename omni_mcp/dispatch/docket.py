"""Nudges between machines: docket on Redis or Valkey. They carry a task id; the ledger alone knows what it stands for.

Engines of one machine label share a docket, and all engines share another: for what may run anywhere. Whoever can write
to that Redis can make docket run code in our processes (it unpickles what it reads), so it has to be as private as the
ledger. A nudge that is queued is not queued again, and nothing of it is kept once it was heard.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from docket import Docket, Worker

from omni_mcp.dispatch.bell import Bell

logger = logging.getLogger(__name__)

SHARED = "omni"
"""The docket of all engines; that of a machine has its label behind a colon."""
NUDGE = "nudge"
"""The name of the one task that docket carries for us."""
WAITING = 1000
"""Nudges that wait to be sent; while Redis is away the newest of more are dropped, and found by looking."""
AWAY = 5.0
"""Seconds between two tries to reach a Redis that is away."""
FORGET_AT_ONCE = timedelta(0)


class DocketDoorbell(Bell):
    """Rings when docket hands a nudge to this process."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    def ring_back(self, task_id: str) -> None:
        """Do nothing: a face hears of what was written from the ledger, which tells all machines."""


class DocketDispatch:
    """Nudges through the Redis at `url`, for engines on `machine`."""

    def __init__(self, url: str, *, machine: str) -> None:
        self._url = url
        self._machine = machine
        self._out: MemoryObjectSendStream[tuple[str, str]] | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[DocketDoorbell]:
        """Take the nudges of this machine and those of all."""
        own = DocketDoorbell(_name(self._machine))

        async def nudge(task_id: str) -> None:
            own.ring()

        logging.getLogger("docket").setLevel(logging.CRITICAL)  # it tells of an outage every second, we once
        async with anyio.create_task_group() as tasks:
            for name in (SHARED, own.address):
                tasks.start_soon(self._work, name, nudge, name=f"nudges of {name}")
            tasks.start_soon(self._watch, name="Redis of the nudges")
            yield own
            tasks.cancel_scope.cancel()

    async def _work(self, name: str, nudge: Callable[[str], Any]) -> None:
        """Hand nudges over until cancelled. Docket outlives an outage of Redis; its own faults cost us no task."""
        while True:
            try:
                async with self._docket(name, nudge) as docket, _worker(docket) as worker:
                    await worker.run_forever()
            except Exception as error:  # noqa: BLE001 - a nudge less is found by looking
                logger.warning("no nudges: %s", error, extra={"action": "nudges_ended"})
            await anyio.sleep(AWAY)

    async def _watch(self) -> None:
        """Say when Redis goes away and comes back: docket tries again by itself, but it does not tell us."""
        reach = _Reach()
        async with self._docket(SHARED, _unheard) as docket:
            while True:
                with reach.told():
                    async with docket.redis() as redis:
                        await redis.exists(docket.name)
                await anyio.sleep(AWAY)

    def _docket(self, name: str, nudge: Callable[[str], Any]) -> Docket:
        docket = Docket(name=name, url=self._url, execution_ttl=FORGET_AT_ONCE)
        docket.register(nudge, names=[NUDGE])
        return docket

    @asynccontextmanager
    async def calling(self, heard: Callable[[], None]) -> AsyncGenerator[None]:
        """Send nudges until the end of the body; what is not sent by then is found by looking."""
        self._out, waiting = anyio.create_memory_object_stream[tuple[str, str]](WAITING)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, waiting, name="nudges")
            yield
            tasks.cancel_scope.cancel()

    def nudge(self, address: str | None, task_id: str, *, machine: str | None = None) -> None:
        """Tell an engine of `machine`, or of any."""
        if self._out is not None:
            try:
                self._out.send_nowait((SHARED if machine is None else _name(machine), task_id))
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                logger.debug("a nudge was dropped", extra={"action": "nudge_dropped", "task_id": task_id})

    def ask_back(self, address: str, task_id: str) -> None:
        """Do nothing: what an engine writes is told by the ledger."""

    async def _send(self, waiting: MemoryObjectReceiveStream[tuple[str, str]]) -> None:
        """Send what waits, one after the other; a Redis that is away is tried again for the next nudge."""
        reach = _Reach()
        async with AsyncExitStack() as stack:
            dockets: dict[str, Docket] = {}
            async for name, task_id in waiting:
                with reach.told():
                    if name not in dockets:
                        dockets[name] = await stack.enter_async_context(self._docket(name, _unheard))
                    await dockets[name].add(NUDGE, key=task_id)(task_id)


class _Reach:
    """Whether Redis answers; each change is said once."""

    def __init__(self) -> None:
        self._answers = True

    @contextmanager
    def told(self) -> Generator[None]:
        """Take in whether the body reached it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a Redis that is away, or cannot be: a nudge less is found by looking
            if self._answers:
                logger.warning("no nudges, each step is found by looking: %s", error, extra={"action": "redis_away"})
            self._answers = False
        else:
            if not self._answers:
                logger.info("nudges go through Redis again", extra={"action": "redis_back"})
            self._answers = True


class _Worker(Worker):
    """A worker that asks for no cancellations: nobody cancels a nudge, and who asks may never stop asking.

    redis-py 8.1 takes the `ETIMEDOUT` of a connection that the network has cut for "nothing has come yet", and docket
    0.27 asks again at once, without giving way to anything else in the event loop.
    """

    async def _cancellation_listener(self) -> None:
        if self._processing_session is not None:
            self._processing_session.cancellation_ready.set()


def _worker(docket: Docket) -> Worker:
    return _Worker(docket, reconnection_delay=timedelta(seconds=AWAY), schedule_automatic_tasks=False)


async def _unheard(task_id: str) -> None:
    """Stand for the task at the end that only sends."""


def _name(machine: str) -> str:
    return f"{SHARED}:{machine}"
