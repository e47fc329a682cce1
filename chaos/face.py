"""A client with its face, over pipes: what it was answered is acknowledged, what it was not it asks again."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.types import CONNECTION_CLOSED

from chaos.stubs.journal import HOME

ROOT = Path(__file__).parents[1]
LIMIT = 60.0
"""Seconds until a face that does not answer is given up."""
LINE = 1 << 24
"""Bytes of an answer at most."""
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "chaos", "version": "1"}}

LOST = (
    *(TimeoutError, OSError, json.JSONDecodeError),
    *(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, anyio.IncompleteRead),
)
"""What a face that dies looks like from its pipes."""


class FaceLost(Exception):
    """The face died, or was given up, before it answered."""


class Refused(Exception):
    """A tool answered with an error."""


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a process of this home: clean, and marked."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "OMNI_HOME": str(home), HOME: str(home)} | {
        "PYTHONPATH": str(ROOT)
    }


class Face:
    """One face; opened at the first call, and again after it was lost."""

    def __init__(self, home: Path, argv: Sequence[str] = (sys.executable, "-m", "chaos.face_main"), **env: str) -> None:
        self._home = home
        self._argv = argv
        self._env = {**environment(home), **env}
        self._talk = anyio.Lock()
        self._last = 0
        self._reading: BufferedByteReceiveStream | None = None
        self.process: Process | None = None

    async def call(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """Call a tool. Raises FaceLost when nobody answered, Refused when the answer is an error."""
        async with self._talk:
            try:
                with anyio.fail_after(LIMIT):
                    await self._ready()
                    answer = await self._ask("tools/call", {"name": tool, "arguments": arguments})
            except LOST as error:
                with anyio.CancelScope(shield=True):
                    if isinstance(error, TimeoutError):
                        await self._look_into()
                    await self.close()
                raise FaceLost(type(error).__name__) from error
        if answer.get("isError"):
            raise Refused(json.dumps(answer.get("structuredContent"), ensure_ascii=False))
        return answer["structuredContent"]

    async def cut(self) -> None:
        """Close its stdin, as a client that ends does."""
        if self.process is not None and self.process.stdin is not None:
            await self.process.stdin.aclose()

    async def close(self) -> None:
        """End it; nothing must be saved there."""
        process, self.process, self._reading = self.process, None, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.aclose()

    async def _look_into(self) -> None:
        """Have a face that does not answer write down where it is: `face_main` dumps its stacks at this signal."""
        if self.process is None or self.process.returncode is not None:
            return
        with (self._home / "face.log").open("a") as log:
            log.write(f"no answer from {psutil.Process(self.process.pid)}\n")
        self.process.send_signal(signal.SIGABRT)
        with anyio.move_on_after(5):
            await self.process.wait()

    async def _ready(self) -> None:
        if self.process is not None and self.process.returncode is None:
            return
        await self.close()
        with (self._home / "face.log").open("a") as log:
            process = await anyio.open_process(self._argv, env=self._env, cwd=self._home, stderr=log)
        self.process = process
        assert process.stdout is not None
        self._reading = BufferedByteReceiveStream(process.stdout)
        await self._ask("initialize", INITIALIZE)
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def _ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self._last += 1
        await self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        while True:
            message = await self._heard()
            if message.get("error", {}).get("code") == CONNECTION_CLOSED:  # it is just going
                raise anyio.EndOfStream
            if message.get("id") == self._last:
                return message.get("result") or {"isError": True, "structuredContent": message.get("error")}

    async def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        await self.process.stdin.send(json.dumps(message).encode() + b"\n")

    async def _heard(self) -> Mapping[str, Any]:
        assert self._reading is not None
        return json.loads(await self._reading.receive_until(b"\n", LINE))
