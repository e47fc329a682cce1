"""The OpenClaw gateway protocol over WebSocket, generations 3 and 4: frames, handshake, one call at a time or many.

`gateway/protocol` of OpenClaw's documentation has the frames. What is sent twice or lost is the caller's to decide:
here no call is ever repeated.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from omni_mcp import __version__
from omni_mcp.adapters.openclaw_device import Device
from omni_mcp.adapters.openclaw_refusal import (
    SCOPE_FIX,
    START_FIX,
    GatewayDown,
    GatewayError,
    GatewayLost,
    GatewayRefused,
    GatewayStarting,
    Loose,
    Refusal,
    is_starting,
    mapping,
    of_status,
    refused_login,
)
from omni_mcp.this_machine import leads_here

PROTOCOLS = (3, 4)
"""The oldest and the newest generation that is spoken here."""
ROLE = "operator"
SCOPES = ("operator.read", "operator.write")
"""All that is asked for: enough to run, follow, cancel and send."""
LARGEST = 32 << 20
"""Bytes of a frame that are taken; a gateway sends up to 25 MiB."""
CALL_LIMIT = 30.0
"""Seconds in which a call is answered that does not wait for a run."""
CLOSE_LIMIT = 2.0
"""Seconds for a polite end."""
SILENCE = 60.0
"""Seconds without an answer to a ping after which the other side is gone; a busy gateway is slow."""


class Frame(BaseModel):
    """What a gateway sends: the answer to a call (`res`), or an event."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    id: str | None = None
    ok: bool = False
    payload: Loose = Field(default_factory=dict[str, Any])
    error: Loose = Field(default_factory=dict[str, Any])
    event: str | None = None


OnEvent = Callable[[str, Mapping[str, Any]], None]
"""Takes the name and the payload of an event, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a gateway is, and by what it knows us."""

    url: str
    token: SecretStr = field(default_factory=lambda: SecretStr(""))
    headers: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    """HTTP headers of the upgrade: those of an edge in between."""
    device: Path | None = None
    """The file of this home's identity, which remote gateways ask for; None: the token alone."""
    connect_timeout: float = 30
    """Seconds until it is connected; an edge may hold the upgrade while it starts the gateway."""

    @property
    def shown(self) -> str:
        """The url without what may be a secret in it."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a gateway says of itself."""

    protocol: int
    version: str
    boot_id: str | None
    uptime: float | None
    """Seconds that it had been up when it said this."""
    methods: frozenset[str]


@dataclass(slots=True)
class _Waiting:
    """A call that is not answered yet."""

    answered: anyio.Event = field(default_factory=anyio.Event)
    frame: Frame | None = None


class _Straight(connect):
    """Follows no redirect: token and headers are for the host of the row, and for nobody else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Give the refusal back."""
        return exc


class Gateway:
    """A connection to a gateway; open it with `connected`. Calls may run at once."""

    def __init__(self, socket: ClientConnection, on_event: OnEvent | None = None) -> None:
        self._socket = socket
        self._on_event = on_event
        self._ids = count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._lost: GatewayLost | None = None
        self.hello = Hello(protocol=0, version="", boot_id=None, uptime=None, methods=frozenset())
        self._greeted_at = 0.0

    @property
    def up_for(self) -> float:
        """Seconds that the gateway has been up, at least."""
        return (self.hello.uptime or 0.0) + anyio.current_time() - self._greeted_at

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float = CALL_LIMIT
    ) -> dict[str, Any]:
        """Ask, and return the first answer.

        Raises GatewayRefused and GatewayStarting (nothing was done), and GatewayLost (the outcome is unknown).
        """
        number = str(next(self._ids))
        waiting = self._waiting[number] = _Waiting()
        request = {"type": "req", "id": number, "method": method, "params": dict(params or {})}
        try:
            with anyio.fail_after(timeout):
                await self._socket.send(json.dumps(request))
                await waiting.answered.wait()
        except (ConnectionClosed, TimeoutError) as error:
            raise self._lost or GatewayLost(self._socket.close_code) from error
        finally:
            del self._waiting[number]
        if waiting.frame is None:
            raise self._lost or GatewayLost(None)
        return _payload(method, waiting.frame)

    async def read(self) -> None:
        """Take frames until the connection ends; then every call that waits is told."""
        try:
            async for text in self._socket:
                self._take(text)
        except ConnectionClosed:
            pass
        finally:
            self._lost = GatewayLost(self._socket.close_code)
            for waiting in self._waiting.values():
                waiting.answered.set()

    def _take(self, text: str | bytes) -> None:
        """Hand a frame on; one that cannot be read is nobody's answer."""
        try:
            frame = Frame.model_validate_json(text)
        except ValidationError:
            return
        if frame.type == "res" and (waiting := self._waiting.get(frame.id or "")) is not None:
            if not waiting.answered.is_set():
                waiting.frame = frame
                waiting.answered.set()
        elif frame.event and self._on_event is not None:
            self._on_event(frame.event, frame.payload)

    async def greet(self, address: Address, challenge: Mapping[str, Any]) -> None:
        """Say who we are, and take in what the gateway says of itself. Raises GatewayError."""
        asked = await run_sync(_introduction, address, challenge)
        told = await self.call("connect", asked, timeout=address.connect_timeout)
        self.hello, self._greeted_at = _hello(told), anyio.current_time()
        granted = mapping(told.get("auth")).get("scopes", SCOPES)  # older gateways do not say
        if missing := sorted(set(SCOPES) - set(granted)):
            raise refused_login(f"the gateway did not give this client {', '.join(missing)}", fix=SCOPE_FIX)


@asynccontextmanager
async def connected(address: Address, on_event: OnEvent | None = None) -> AsyncGenerator[Gateway]:
    """Yield an open connection; it is closed at the end. Raises GatewayError."""
    async with _opened(address) as socket:
        gateway = Gateway(socket, on_event)
        challenge = await _challenge(socket, address)
        reading = asyncio.create_task(gateway.read())
        try:
            await gateway.greet(address, challenge)
            yield gateway
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


@asynccontextmanager
async def _opened(address: Address) -> AsyncGenerator[ClientConnection]:
    socket = await _socket(address)
    try:
        yield socket
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_LIMIT):
            await socket.close()


async def _socket(address: Address) -> ClientConnection:
    """Connect. Raises GatewayDown, GatewayStarting, or GatewayError where a credential is refused."""
    try:
        return await _Straight(
            address.url,
            additional_headers={name: value.get_secret_value() for name, value in address.headers.items()},
            compression=None,
            open_timeout=address.connect_timeout,
            ping_timeout=SILENCE,
            close_timeout=CLOSE_LIMIT,
            max_size=LARGEST,
            proxy=None if leads_here(address.url) else True,
        )
    except InvalidStatus as error:
        raise of_status(error.response.status_code, url=address.shown) from error
    except TimeoutError as error:
        limit = f"{address.connect_timeout:.0f} s"
        raise GatewayDown(f"the gateway at {address.shown} did not answer in {limit}", next_step=START_FIX) from error
    except (OSError, WebSocketException) as error:
        said = f"the gateway at {address.shown} cannot be reached: {error or type(error).__name__}"
        raise GatewayDown(said, next_step=START_FIX) from error


async def _challenge(socket: ClientConnection, address: Address) -> Mapping[str, Any]:
    """Return what the gateway wants signed. Raises GatewayError."""
    try:
        with anyio.fail_after(address.connect_timeout):
            frame = Frame.model_validate_json(await socket.recv())
    except ConnectionClosed as error:
        raise GatewayStarting(f"the gateway at {address.shown} closed the door ({socket.close_code})") from error
    except (TimeoutError, ValidationError) as error:
        raise _stranger(address) from error
    if frame.event != "connect.challenge":
        raise _stranger(address)
    return frame.payload


def _stranger(address: Address) -> GatewayError:
    return GatewayDown(f"what listens at {address.shown} is no OpenClaw gateway", next_step="mend `url` of its row")


def _introduction(address: Address, challenge: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of `connect`. Blocks: the key is in a file."""
    token = address.token.get_secret_value()
    client = {"id": "gateway-client", "version": __version__, "platform": sys.platform, "mode": "backend"}
    asked: dict[str, Any] = {
        "minProtocol": PROTOCOLS[0],
        "maxProtocol": PROTOCOLS[1],
        "client": {**client, "displayName": "omni-orchestrator"},
        "role": ROLE,
        "scopes": list(SCOPES),
        "caps": ["tool-events"],
    }
    if token:
        asked["auth"] = {"token": token}
    if address.device is not None:
        nonce, at = str(challenge.get("nonce", "")), int(challenge.get("ts") or 0)
        device = Device.kept_in(address.device)
        asked["device"] = device.sign(nonce=nonce, at=at, client=client, role=ROLE, scopes=SCOPES, token=token)
    return asked


def _payload(method: str, frame: Frame) -> dict[str, Any]:
    if frame.ok:
        return frame.payload
    refusal = Refusal.model_validate(frame.error)
    raise GatewayStarting("the gateway is still starting") if is_starting(refusal) else GatewayRefused(method, refusal)


def _hello(told: Mapping[str, Any]) -> Hello:
    server: Mapping[str, Any] = told.get("server", {})
    uptime = told.get("snapshot", {}).get("uptimeMs")
    return Hello(
        protocol=int(told.get("protocol", PROTOCOLS[0])),
        version=str(server.get("version", "unknown")),
        boot_id=server.get("bootId"),
        uptime=uptime / 1000 if isinstance(uptime, (int, float)) else None,
        methods=frozenset(told.get("features", {}).get("methods", ())),
    )
