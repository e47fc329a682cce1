"""One connection to an executor, from its opening to the end of its last process.

The client library ends its child when it is closed. When it is cancelled while it connects, its shutdown is cut short:
a child that keeps its pipes open then holds up whoever waits, for ever. So a caller that gives up ends the processes
itself, and the library follows.
"""

from contextlib import AsyncExitStack, suppress
from functools import partial

import anyio
from anyio.to_thread import run_sync
from fastmcp import Client
from fastmcp.client.transports import ClientTransport

from omni_mcp.executors.elicitation import ROUNDS, OnElicitation
from omni_mcp.executors.transport import StderrLog, transport_for
from omni_mcp.executors.troubles import TROUBLES, is_clear
from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec
from omni_mcp.processes import SESSION_MARK, sweep
from omni_mcp.task import new_id

PROBE_LIMIT = 3.0
"""Seconds in which a connection that lives lists its tools."""
CLOSE_LIMIT = 6.0
"""Seconds that a connection has to close before its processes are ended."""


class Link:
    """A connection: `open` it once, `bury` it in the end."""

    def __init__(self, client: Client[ClientTransport], *, mark: str, local: bool, pings: bool) -> None:
        self.client = client
        self._pings = pings
        self.calls = 0
        self._mark = mark
        self._local = local
        self._stack = AsyncExitStack()
        self._burial = anyio.Lock()
        self._buried = False

    async def open(self) -> None:
        """Connect. Raises what `TROUBLES` names; what cannot be opened, or is given up on, leaves no process behind."""
        connected = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_unless, connected)
            await self._stack.enter_async_context(self.client)
            connected.set()

    async def answers(self) -> bool:
        """Whether the server still answers; `ping`, cheaper by far, is gone from the newer era, and not all know it."""
        try:
            with anyio.fail_after(PROBE_LIMIT):
                if self._pings:
                    await self.client.ping()
                else:
                    await self.client.list_tools_mcp(cache_mode="bypass")
        except TROUBLES as error:
            return is_clear(error)
        return True

    async def bury(self) -> None:
        """Close it and end its processes, even while being cancelled; a second caller waits until that is done."""
        with anyio.CancelScope(shield=True):
            async with self._burial:
                if not self._buried:
                    await self._let_go()
                    self._buried = True

    async def _let_go(self) -> None:
        with anyio.move_on_after(CLOSE_LIMIT), suppress(*TROUBLES):
            await self._stack.aclose()
        await self._end()

    async def _end_unless(self, connected: anyio.Event) -> None:
        try:
            await connected.wait()
        finally:
            if not connected.is_set():
                with anyio.CancelScope(shield=True):
                    await self._end()

    async def _end(self) -> None:
        if self._local:
            await run_sync(partial(sweep, SESSION_MARK, self._mark))


async def opened(
    spec: ExecutorSpec, *, owner: str, home: Home, log: StderrLog, on_elicitation: OnElicitation | None = None
) -> Link:
    """Return an open connection to an executor. Raises what `TROUBLES` names."""
    mark = new_id()
    client = Client(
        await run_sync(partial(transport_for, spec, owner=owner, mark=mark, home=home, log=log)),
        name=spec.name,
        # The newer era has no request from a server to its client, and our adapters ask in the middle of a call.
        mode="legacy" if spec.row.preset else spec.row.protocol,
        elicitation_handler=on_elicitation,
        input_required_max_rounds=ROUNDS,
        init_timeout=spec.row.connect_timeout,
        timeout=0,  # none: each call has its own, which stands still while somebody is asked
    )
    link = Link(client, mark=mark, local=bool(spec.command), pings=bool(spec.row.preset))
    try:
        await link.open()
    except BaseException:
        # A cancel may come after the handshake and before anybody knows the link.
        await link.bury()
        raise
    return link
