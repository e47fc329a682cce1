"""A Redis (or Valkey) of our own on a free port of loopback; nothing of it outlives the body."""

# redis-py leaves the types of its keyword arguments out
# pyright: reportUnknownMemberType=false

import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL

import anyio
import pytest
from anyio.abc import Process
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Away

from tests.integration.house import until

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
PASSWORD = "of-a-test"

needs_redis = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed (apt-get install redis-server)")


@dataclass(slots=True)
class RedisServer:
    """A server that can be ended and started again; it keeps nothing on disk."""

    folder: Path
    port: int
    process: Process | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        assert PROGRAM is not None
        options = {"bind": "127.0.0.1", "port": self.port, "dir": self.folder, "requirepass": PASSWORD, "save": ""}
        args = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = await anyio.open_process([PROGRAM, *args], stdout=DEVNULL, stderr=DEVNULL)
        await until(self.answers)

    async def answers(self) -> bool:
        async with Redis.from_url(self.url) as client:
            try:
                return bool(await client.ping())
            except Away:
                return False

    async def executed(self) -> int:
        """Return how many nudges docket's workers have taken over all."""
        async with Redis.from_url(self.url) as client:
            return (await client.info("commandstats")).get("cmdstat_xack", {}).get("calls", 0)

    async def patterns(self) -> int:
        """Return how many patterns anybody has subscribed to."""
        async with Redis.from_url(self.url) as client:
            return await client.pubsub_numpat()

    async def wipe(self) -> None:
        async with Redis.from_url(self.url) as client:
            await client.flushall()

    async def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncGenerator[RedisServer]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    server = RedisServer(folder, port)
    await server.start()
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await server.kill()
