"""Nudges on one machine: one UDP datagram on loopback, which every platform has and nobody has to clean up."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from omni_mcp.dispatch.bell import Bell

HOST = "127.0.0.1"
ASKS = b"?"
"""What a datagram begins with whose sender asks to be rung at; the task id follows."""
ASKING = 1024
"""Tasks that somebody asks to hear of; the oldest are forgotten, and who asked then finds out by looking."""

_Address = tuple[str, int]


class LocalDoorbell(Bell, asyncio.DatagramProtocol):
    """Listens on a free port of loopback."""

    def __init__(self, heard: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.address = ""
        self._heard = heard
        self._transport: asyncio.DatagramTransport | None = None
        self._asking: dict[str, set[_Address]] = {}

    def ring_back(self, task_id: str) -> None:
        """Ring at those who asked to hear of this task, once."""
        for address in self._asking.pop(task_id, ()):
            self.send(task_id.encode(), address)

    def send(self, said: bytes, address: _Address) -> None:
        """Send one datagram; nobody has to be there."""
        if self._transport is not None:
            self._transport.sendto(said, address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the port; called by asyncio."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = f"{HOST}:{transport.get_extra_info('sockname')[1]}"

    def connection_lost(self, exc: Exception | None) -> None:
        """Say nothing any more; called by asyncio."""
        self._transport = None

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Ring, or keep who asks; called by asyncio."""
        if data.startswith(ASKS):
            self._keep(data.removeprefix(ASKS).decode(errors="replace"), addr)
            return
        self.ring()
        if self._heard is not None:
            self._heard()

    def _keep(self, task_id: str, addr: _Address) -> None:
        self._asking.setdefault(task_id, set()).add(addr)
        while len(self._asking) > ASKING:
            del self._asking[next(iter(self._asking))]


class LocalDispatch:
    """Datagrams on loopback, from the own end: nothing is said before it is open."""

    def __init__(self) -> None:
        self._own = LocalDoorbell()

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[LocalDoorbell]:
        """Open the end of an engine."""
        async with self._open(LocalDoorbell()) as own:
            yield own

    @asynccontextmanager
    async def calling(self, heard: Callable[[], None]) -> AsyncGenerator[None]:
        """Open the end of a face."""
        async with self._open(LocalDoorbell(heard)):
            yield

    @asynccontextmanager
    async def _open(self, own: LocalDoorbell) -> AsyncGenerator[LocalDoorbell]:
        loop = asyncio.get_running_loop()
        transport, self._own = await loop.create_datagram_endpoint(lambda: own, local_addr=(HOST, 0))
        try:
            yield own
        finally:
            transport.close()

    def nudge(self, address: str | None, task_id: str, *, machine: str | None = None) -> None:
        """Send the task id to `address`; an engine that is not there looks by itself later."""
        if address is not None:
            self._send(address, task_id.encode())

    def ask_back(self, address: str, task_id: str) -> None:
        """Ask for a ring; who does not get it looks by itself."""
        self._send(address, ASKS + task_id.encode())

    def _send(self, address: str, said: bytes) -> None:
        host, _, port = address.rpartition(":")
        if host == HOST and port.isdigit():
            self._own.send(said, (host, int(port)))
