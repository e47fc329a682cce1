"""A face in this process over a real ledger, with secrets wherever there may be some, and what no answer may hold."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from fastmcp import Client
from mcp import MCPError
from mcp_types import CallToolResult

from omni_mcp.app.face import running_face
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home
from omni_mcp.service.service import Service
from tests.fuzz.inputs import with_ids

CANARY = "canary"
SECRETS = ("OMNI_CANARY_ENV", "OMNI_CANARY_DOTENV", "OMNI_CANARY_TOKEN", "OMNI_CANARY_HEADER")
SERVERS: Mapping[str, Any] = {
    "executors": {
        "bench": {
            "command": "/a-program-that-is-not-there", "args": ["--key", f"{CANARY}-in-the-arguments"],
            "env": {"KEY": "${OMNI_CANARY_ENV}"}, "tool": "echo", "handles": ["echo"],
        },
        "far": {
            "url": "http://127.0.0.1:9/mcp", "headers": {"X-Key": "${OMNI_CANARY_HEADER}"},
            "token": "${OMNI_CANARY_TOKEN}", "tool": "t", "handles": ["far"],
        },
    },
    "routing": {"rules": [{"type": "echo", "executor": "bench"}], "default": "bench"},
    "direct": {"anthropic": {"base_url": "http://127.0.0.1:9", "key": "${OMNI_CANARY_DOTENV}"}},
    "http": {"tokens": {"alice": {"token": "${OMNI_CANARY_TOKEN}"}}},
}  # fmt: skip
"""Nobody runs anything here: tasks are recorded and stay."""
FORBIDDEN = (f"{CANARY}-", "Traceback", 'File "', "site-packages", "pydantic", "object at 0x", "sqlite3.", "<class")
"""What no answer may hold: a secret, or the insides of the program."""


@dataclass
class World:
    """The client, what it has submitted, and how often it called what."""

    client: Client[Any]
    service: Service
    ids: list[str] = field(default_factory=list[str])
    calls: dict[str, int] = field(default_factory=dict[str, int])

    async def call(self, tool: str, drawn: Mapping[str, Any]) -> None:
        """Call a tool and judge what it answers."""
        given = with_ids(dict(drawn), self.ids)
        self.calls[tool] = self.calls.get(tool, 0) + 1
        try:
            answer = await self.client.call_tool_mcp(tool, given)
        except MCPError as error:
            raise AssertionError(f"{tool} {_short(given)}: a protocol error, which no model reads: {error}") from error
        said = json.dumps(answer.structured_content, ensure_ascii=False)
        _harmless(f"{tool} {_short(given)}", said, given)
        _clear(tool, given, answer)
        new: dict[str, Any] = answer.structured_content or {}
        if tool == "submit_task" and not answer.is_error and not new.get("deduplicated"):
            self.ids.append(new["task_id"])

    async def read(self, uri: str) -> None:
        """Read a resource; what is none is refused by the protocol."""
        self.calls["resources/read"] = self.calls.get("resources/read", 0) + 1
        try:
            said = str(await self.client.read_resource(uri))
        except (MCPError, ValueError) as error:
            said = str(error)
        _harmless(uri, said, uri)

    async def nothing_is_lost(self) -> None:
        """Every task that was answered is there."""
        found: list[str] = []
        cursor = None
        while True:
            page = await self.service.list(limit=200, cursor=cursor)
            found += [task.task_id for task in page.tasks]
            if (cursor := page.cursor) is None:
                break
        assert sorted(found) == sorted(self.ids)


def _short(given: object) -> str:
    return ascii(given)[:300]


def _harmless(where: str, said: str, given: object) -> None:
    """Fail for what no answer may hold, unless the caller said it."""
    asked = ascii(given)
    for word in FORBIDDEN:
        assert word not in said or word in asked, f"{where}: {word!r} in {said[:800]!a}"


def _clear(tool: str, given: Mapping[str, Any], answer: CallToolResult) -> None:
    """Fail for a refusal that does not say what happened and what to do."""
    if not answer.is_error:
        return
    error: dict[str, Any] = answer.structured_content or {}
    where = f"{tool} {_short(given)}: {error}"
    assert error.get("code") not in (None, "internal", "error"), where
    assert error.get("message"), where
    assert error.get("next_step"), where
    assert isinstance(error.get("retryable"), bool), where


@contextmanager
def secrets_around() -> Generator[None]:
    """Have secrets in the environment; nobody waits long for tasks that nobody runs."""
    planted = {name: f"{CANARY}-{name.lower()}" for name in SECRETS if name != "OMNI_CANARY_DOTENV"}
    waits = patch("omni_mcp.service.tasks.WAIT_LIMIT", 0.01), patch("omni_mcp.faces.waiting.HEARTBEAT", 60.0)
    with patch.dict(os.environ, planted), waits[0], waits[1]:
        yield


@asynccontextmanager
async def world(folder: Path, **of_the_client: Any) -> AsyncGenerator[World]:
    """Open a face over a new home."""
    home = Home(folder)
    home.servers.write_text(yaml.safe_dump(dict(SERVERS)), encoding="utf-8")
    home.dotenv.write_text(f"OMNI_CANARY_DOTENV={CANARY}-in-the-dotenv\n", encoding="utf-8")
    opened: list[Service] = []

    @asynccontextmanager
    async def open_service() -> AsyncGenerator[Service]:
        async with running_face(home, engine="here") as service:
            opened.append(service)
            yield service

    async with Client(create_face(open_service), **of_the_client) as client:
        yield World(client=client, service=opened[0])


async def schemas(client: Client[Any]) -> dict[str, Mapping[str, Any]]:
    """Return the input schema of each tool."""
    return {tool.name: tool.input_schema for tool in await client.list_tools()}


@contextmanager
def standing(folder: Path, **of_the_client: Any) -> Generator[tuple[World, asyncio.Runner]]:
    """Open a world that lives between the examples of Hypothesis, which knows no event loop."""
    with secrets_around(), asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(stack.enter_async_context(world(folder, **of_the_client))), runner
        finally:
            runner.run(stack.aclose())
