"""Nudges on one machine: one UDP datagram on loopback, which every platform has and nobody has to clean up."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import UDPSocket

HOST = "127.0.0.1"


class LocalDoorbell:
    """Listens on a free port of loopback."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._rung = anyio.Event()

    @property
    def rung(self) -> anyio.Event:
        """The event of the next ring."""
        return self._rung

    def ring(self) -> None:
        """Wake whoever waits; the next waiter waits for the next ring."""
        self._rung.set()
        self._rung = anyio.Event()

    async def hear(self, udp: UDPSocket) -> None:
        """Ring for every datagram."""
        async for _packet in udp:
            self.ring()


class LocalDispatch:
    """Datagrams on loopback."""

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[LocalDoorbell]:
        """Open the engine's end."""
        async with await anyio.create_udp_socket(family=socket.AF_INET, local_host=HOST) as udp:
            port = udp.extra_attributes[anyio.abc.SocketAttribute.local_port]()
            doorbell = LocalDoorbell(f"{HOST}:{port}")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(doorbell.hear, udp, name="doorbell")
                yield doorbell
                tasks.cancel_scope.cancel()

    def nudge(self, address: str, task_id: str) -> None:
        """Send the task id to `address`; an engine that is not there looks by itself later."""
        host, _, port = address.rpartition(":")
        if host != HOST or not port.isdigit():
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(task_id.encode(), (host, int(port)))
            except OSError:
                return
