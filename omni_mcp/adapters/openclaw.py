"""OpenClaw as an executor: an MCP server over stdio that runs agent turns at its gateway under `contract.py`.

Start it with `python -m omni_mcp.adapters.openclaw [--agent ID] [--device FILE] [--connect-timeout SECONDS]`; url,
token and headers come by environment, where other users do not see them. Its runs live at the gateway: after a kill of
any of us they are attached to. A Moltworker is a gateway behind Cloudflare, and spoken to in the same way.
"""

import argparse
import json
import math
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import anyio
from pydantic import SecretStr

from omni_mcp.adapters import openclaw_old, openclaw_run
from omni_mcp.adapters.openclaw_refusal import GatewayDown, GatewayError, GatewayLost, GatewayStarting
from omni_mcp.adapters.openclaw_run import BEGINNINGS, LEDGER, Run, key_of, session_of
from omni_mcp.adapters.openclaw_wire import Address, Gateway, connected
from omni_mcp.adapters.serving import Ask, Tell, serve
from omni_mcp.contract import (
    GATEWAY_HEADERS,
    GATEWAY_TOKEN,
    GATEWAY_URL,
    CancelResult,
    Health,
    RunRef,
    RunRequest,
    RunResult,
    failed,
)
from omni_mcp.errors import ExecutorError
from omni_mcp.task import FailureClass

MARGIN = 20.0
"""Seconds before the engine's limit at which a run is stopped, so that what it produced is still reported."""
CONTROL_LIMIT = 15.0
"""Seconds in which `cancel` and `health` are done; the engine waits 20."""
AGAIN = 1.0
"""Seconds between two tries to reach a gateway that is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What one executor row says."""

    address: Address
    agent: str = "main"
    at_least_once: bool = False
    """True: its gateway may lose what it knows (an ephemeral disk), so that work may be done twice; it is said."""


class OpenClaw:
    """Runs attempts at the gateway of one executor row."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Run one attempt to its end; every end is a result. A cancelled call lets go of the run, which goes on."""
        return await self._judged(request, tell, begun=False)

    async def attach(self, request: RunRequest, tell: Tell) -> RunResult:
        """Follow the run of an earlier attempt to its end; begin it if it was never accepted."""
        return await self._judged(request, tell, begun=True)

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run, from whatever connection it was begun, and wait until the gateway says that it is over."""
        try:
            with anyio.fail_after(CONTROL_LIMIT):
                async with connected(self._hurried) as gateway:
                    left = await self._stopped(gateway, ref.run_id)
        except TimeoutError:
            return CancelResult(stopped=False, remaining=["the gateway does not say that it is over"])
        except GatewayError as error:
            return CancelResult(stopped=False, remaining=[error.message])
        return CancelResult(stopped=not left, remaining=left)

    async def health(self) -> Health:
        """Say whether the gateway takes us."""
        try:
            async with connected(self._hurried) as gateway:
                hello = gateway.hello
        except ExecutorError as error:
            return Health(ok=False, detail=error.message, fix=error.next_step)
        detail = f"agent {self._setup.agent} at {self._setup.address.shown}, protocol {hello.protocol}"
        if self._setup.at_least_once:
            detail = f"{detail}; at least once: after its death work may be done again"
        return Health(ok=True, version=f"OpenClaw {hello.version}", detail=detail)

    @property
    def _hurried(self) -> Address:
        """The address for what has to be answered soon."""
        address = self._setup.address
        return replace(address, connect_timeout=min(address.connect_timeout, CONTROL_LIMIT * 0.8))

    async def _stopped(self, gateway: Gateway, run_id: str) -> list[str]:
        if LEDGER not in gateway.hello.methods:
            return [*await openclaw_old.stop(gateway, session_of(self._setup.agent, run_id), run_id)]
        left: list[str] = []
        for beginning in range(1, BEGINNINGS + 1):
            left += await openclaw_run.stop(gateway, session_of(self._setup.agent, key_of(run_id, beginning)))
        return left

    async def _judged(self, request: RunRequest, tell: Tell, *, begun: bool) -> RunResult:
        margin = min(MARGIN, request.timeout / 10)
        limit = anyio.current_time() + request.timeout - margin
        async with _speaking(tell) as say:
            run = Run(request=request, agent=self._setup.agent, say=say, limit=limit, begun=begun)
            try:
                result = await self._followed(run, margin)
            except ExecutorError as error:
                result = failed(error.kind, error.message, fix=error.next_step, lives=run.begun)
        if not self._setup.at_least_once:
            return result
        return result.model_copy(update={"notes": {**result.notes, "at_least_once": True}})

    async def _followed(self, run: Run, margin: float) -> RunResult:
        with anyio.move_on_at(run.limit):
            return await self._persist(run)
        with anyio.move_on_after(margin + CONTROL_LIMIT / 2):
            async with connected(self._hurried) as gateway:
                return await _way(gateway).overdue(gateway, run)
        message = "its time is over, and the gateway does not say what became of it"
        return failed(FailureClass.INTERRUPTED, message, lives=run.begun)

    async def _persist(self, run: Run) -> RunResult:
        """Follow a run over as many connections as it takes. Raises ExecutorError."""
        patience = anyio.current_time() + self._setup.address.connect_timeout
        while True:
            try:
                async with connected(self._setup.address, run.hear) as gateway:
                    return await _way(gateway).follow(gateway, run)
            except (GatewayLost, GatewayDown) as error:
                if not run.begun and not _passes(error, patience):
                    raise
                run.say(f"{error.message}; trying again")
            await anyio.sleep(AGAIN)


def _passes(error: GatewayError, patience: float) -> bool:
    """Whether a gateway that could not be reached is waited for, before anything was sent to it."""
    return isinstance(error, (GatewayStarting, GatewayLost)) and anyio.current_time() < patience


class _Way(Protocol):
    """How runs are followed at a gateway."""

    async def follow(self, gateway: Gateway, run: Run) -> RunResult:
        """Bring a run to its end."""
        ...

    async def overdue(self, gateway: Gateway, run: Run) -> RunResult:
        """End a run that takes too long."""
        ...


def _way(gateway: Gateway) -> _Way:
    """Return how runs are followed at this gateway: what it offers says of which generation it is."""
    return openclaw_run if LEDGER in gateway.hello.methods else openclaw_old


@asynccontextmanager
async def _speaking(tell: Tell) -> AsyncGenerator[Callable[[str], None]]:
    """Yield what takes lines at once; they are told in order, the last one before this is left."""
    ours, theirs = anyio.create_memory_object_stream[str](math.inf)

    async def speak() -> None:
        last = ""
        async for line in theirs:
            if line != last:  # what is looked at again and again is told once
                await tell(line)
            last = line

    async with theirs, anyio.create_task_group() as tasks:
        tasks.start_soon(speak, name="progress")
        with ours:
            yield ours.send_nowait


def parse(env: Mapping[str, str], argv: list[str] | None = None) -> Setup:
    """Return what environment and command line say; None: that of this process."""
    parser = argparse.ArgumentParser(prog="omni_mcp.adapters.openclaw", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", default="main", help="the agent that works, of those the gateway has")
    parser.add_argument("--device", type=Path, help="file of this home's identity, for gateways elsewhere")
    parser.add_argument("--connect-timeout", type=float, default=30, help="seconds until the gateway is reached")
    parser.add_argument("--at-least-once", action="store_true", help="say that its gateway may lose what it knows")
    given = parser.parse_args(argv)
    headers: Mapping[str, str] = json.loads(env.get(GATEWAY_HEADERS) or "{}")
    address = Address(
        url=env.get(GATEWAY_URL) or parser.error(f"the variable {GATEWAY_URL} is not set"),
        token=SecretStr(env.get(GATEWAY_TOKEN, "")),
        headers={name: SecretStr(value) for name, value in headers.items()},
        device=given.device,
        connect_timeout=given.connect_timeout,
    )
    return Setup(address=address, agent=given.agent, at_least_once=given.at_least_once)


def main() -> None:
    """Serve over stdio until stdin ends."""
    serve("openclaw", OpenClaw(parse(os.environ)))


if __name__ == "__main__":
    main()
