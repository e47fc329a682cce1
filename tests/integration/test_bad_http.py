"""Bad input over HTTP: clients that go away, come all at once, or speak what nobody speaks. It costs no task."""

import json
import resource
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from fastmcp import Client

from omni_mcp.home import Home
from tests.integration.house import House, Served, call, ended, house
from tests.integration.standing import STARTS, standing

pytestmark = pytest.mark.timeout(400)
CONNECTIONS = 50
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
MODERN = "2026-07-28"


def initialize(version: object = "2025-11-25") -> dict[str, Any]:
    about = {"name": "t", "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": about}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


def submit(key: str) -> dict[str, Any]:
    """Return a submit as the protocol of 2026-07-28 has it: without a session."""
    given = {"description": key, "type": "echo", "idempotency_key": key}
    meta = {"protocolVersion": MODERN, "clientInfo": {"name": "t", "version": "1"}, "clientCapabilities": {}}
    said = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}
    params = {"name": "submit_task", "arguments": given, "_meta": said}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


CALLS = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "submit_task"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Served]]:
    """A real `omni-mcp serve` on loopback, without tokens, that takes few connections."""
    here = House(Home(tmp_path_factory.mktemp("door") / "home"))
    here.home.root.mkdir()
    here.configure(executors={"bench": here.workshop(recovery="retry")}, http={"connections": CONNECTIONS})
    with standing(here, warmed_up) as served:
        yield here, served


async def warmed_up(served: Served) -> None:
    """Have the executor running."""
    async with Client(served.url, timeout=STARTS) as client:
        await done(client, "first")


async def done(client: Client[Any], key: str) -> dict[str, Any]:
    task = await call(client, "submit_task", description=key, type="echo", idempotency_key=key)
    return await ended(client, task["task_id"])


@asynccontextmanager
async def http(served: Served) -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=served.base, headers=ACCEPT, timeout=STARTS, limits=limits) as client:
        yield client


def raw(served: Served, body: bytes, **more: str) -> bytes:
    """Return a whole request, byte by byte."""
    head = {**ACCEPT, **CALLS, "host": f"127.0.0.1:{served.port}", "content-length": str(len(body)), **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body


async def test_a_client_that_goes_away_at_any_point_of_a_call_costs_nothing(door: tuple[House, Served]) -> None:
    _, served = door
    whole = raw(served, json.dumps(submit("gone")).encode())
    body = whole.index(b"\r\n\r\n") + 4
    for cut in (0, 1, 20, body - 2, body, body + 1, len(whole) - 1, len(whole)):
        for reset in (False, True):
            await goes_away(served, whole[:cut], reset=reset)
    async with await anyio.connect_tcp("127.0.0.1", served.port) as stream:
        await stream.send(whole)
        assert (await stream.receive(1)) == b"H"  # gone in the middle of the answer
    async with Client(served.url, timeout=STARTS) as client:
        assert (await done(client, "gone"))["state"] == "completed"
        listed = (await call(client, "list_tasks", limit=200))["tasks"]
        assert [task["description"] for task in listed].count("gone") == 1


async def goes_away(served: Served, said: bytes, *, reset: bool) -> None:
    """Say so much, and go: in good order, or with a reset as a machine that died."""
    stream: SocketStream = await anyio.connect_tcp("127.0.0.1", served.port)
    if said:
        await stream.send(said)
    if reset:
        own: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's, not Django's
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await anyio.aclose_forcefully(stream)


async def test_more_at_once_than_it_takes_are_told_to_come_again_and_have_their_task_then(
    door: tuple[House, Served],
) -> None:
    _, served = door
    statuses: dict[str, int] = {}

    async def knocks(client: httpx.AsyncClient, key: str) -> None:
        answer = await client.post("/mcp", json=submit(key), headers=CALLS)
        statuses[key] = answer.status_code
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
            assert answer.json() | {"message": "", "next_step": ""} == OVERLOADED

    async with http(served) as client, anyio.create_task_group() as tasks:
        for number in range(CONNECTIONS * 6):
            tasks.start_soon(knocks, client, f"at once {number}")
    assert 503 in statuses.values()
    assert set(statuses.values()) <= {200, 503}
    taken = [key for key, status in statuses.items() if status == 200]
    async with Client(served.url, timeout=STARTS) as client:
        refused = next(key for key, status in statuses.items() if status == 503)
        assert (await done(client, refused))["state"] == "completed"
        seen = [await call(client, "submit_task", description=k, type="echo", idempotency_key=k) for k in taken[:50]]
        assert all(task["deduplicated"] for task in seen)
        assert (await call(client, "system_mode"))["mode"] == "normal"


OVERLOADED = {"code": "overloaded", "message": "", "next_step": "", "retryable": True, "retry_after": 1.0}

KNOCKS = 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ten_thousand_requests_at_once_are_served_or_told_to_come_again_and_cost_no_task(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < KNOCKS + 500:
        pytest.skip("each request here is a connection of its own, and this system allows too few")
    async with house(tmp_path) as here:
        here.configure(executors={"bench": {"command": "/nothing-is-here", "tool": "echo", "handles": ["echo"]}})
        async with here.served(limit=STARTS) as served:
            answers = await knocked(served)
            assert len(answers) == KNOCKS
            assert {answer[9:12] for answer in answers.values()} == {b"200", b"503"}
            refused = [key for key, answer in answers.items() if answer[9:12] == b"503"]
            assert all(b"retry-after: 1\r\n" in answers[key] and b'"overloaded"' in answers[key] for key in refused)
            async with Client(served.url, timeout=STARTS) as client:
                taken = KNOCKS - len(refused)
                assert sum((await call(client, "system_mode"))["open_tasks"].values()) == taken
                for key in (refused[0], refused[-1]):
                    await call(client, "submit_task", description=key, type="echo", idempotency_key=key)
                assert sum((await call(client, "system_mode"))["open_tasks"].values()) == taken + 2


async def knocked(served: Served) -> Mapping[str, bytes]:
    """Open that many connections, then submit on all of them; returns what was answered, by key."""
    answers: dict[str, bytes] = {}
    connected = 0
    all_there = anyio.Event()

    async def knocks(key: str) -> None:
        nonlocal connected
        async with await anyio.connect_tcp("127.0.0.1", served.port) as stream:
            connected += 1
            if connected == KNOCKS:
                all_there.set()
            await all_there.wait()
            await stream.send(raw(served, json.dumps(submit(key)).encode(), connection="close"))
            answers[key] = b"".join([piece async for piece in stream])

    async with anyio.create_task_group() as tasks:
        for number in range(KNOCKS):
            tasks.start_soon(knocks, f"of ten thousand {number}")
    return answers


ODD: Mapping[str, tuple[bytes, int]] = {
    "no JSON": (b"{", 400),
    "nothing": (b"", 400),
    "nested": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"[" * 200_000, 400),
    "a batch": (json.dumps([initialize(), initialize()]).encode(), 400),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', 400),
    "no method": (b'{"jsonrpc":"2.0","id":1}', 400),
    "too much": (b" " * ((4 << 20) + 1), 413),
}


async def test_what_is_no_request_is_refused_at_once_and_shows_nothing_of_the_inside(
    door: tuple[House, Served],
) -> None:
    here, served = door
    async with http(served) as client:
        for name, (body, status) in ODD.items():
            for headers in ({}, CALLS):
                answer = await client.post("/mcp", content=body, headers=headers)
                assert answer.status_code == status, (name, headers, answer.status_code, answer.text[:300])
                assert "Traceback" not in answer.text, name
                assert str(here.home.root) not in answer.text, name
        half = await client.post("/mcp", content=json.dumps(submit("x\ud800")).encode(), headers=CALLS)
        assert "bad_request" in half.text
        for version in ("1999-01-01", "9999-99-99", "", "x" * 10_000, 7, None, {"a": 1}):
            answer = await client.post("/mcp", json=initialize(version))
            assert answer.status_code in (200, 400), version  # the SDK offers the newest of its own to who says a text
            assert "Traceback" not in answer.text
        odd = await client.post("/mcp", json=submit("x"), headers={**CALLS, "mcp-protocol-version": "1999-01-01"})
        assert (odd.status_code, "does not match" in odd.text) == (400, True), odd.text
        other = await client.post("/mcp", json=submit("x"), headers={**CALLS, "mcp-name": "list_tasks"})
        assert other.status_code == 400
        assert (await client.post("/mcp", json=submit("x"), headers={**CALLS, "mcp-session-id": "x"})).status_code < 500
        assert (await client.put("/mcp", json={})).status_code == 405
        assert (await client.get("/../../etc/passwd")).status_code == 404
    async with Client(served.url, timeout=STARTS) as client:
        assert (await done(client, "still here"))["state"] == "completed"
