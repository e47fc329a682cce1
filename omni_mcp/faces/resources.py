"""What a client may read beside the tools: the same views as JSON, bounded, under `task://` and `omni://` addresses."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastmcp import FastMCP
from fastmcp.exceptions import ResourceError

from omni_mcp.faces.caller import AService
from omni_mcp.faces.refused import answered, refused
from omni_mcp.service.service import Service
from omni_mcp.views.view import View

JSON = "application/json"
TASK = "task://{task_id}"
EVENTS = "task://{task_id}/events{?since_seq}"
LARGEST = 1 << 53
"""The largest number that every JSON reader has exactly."""


async def task(task_id: str, service: Service = AService) -> str:
    """Where a task stands, as task_status says it."""
    return await _read(service.status(task_id))


async def events(task_id: str, since_seq: str = "0", service: Service = AService) -> str:
    """The history of a task, 100 lines at a time: next_seq is the since_seq of the next ones."""
    return await _read(service.status(task_id, since_seq=_number(since_seq)))


async def mode(service: Service = AService) -> str:
    """How the whole is, as system_mode says it."""
    return await _read(service.mode())


async def executors(service: Service = AService) -> str:
    """Who may run tasks: the rows of servers.yaml, what each handles, and whether it can be used."""
    return _text([each.shown() for each in await answered(service.executors_seen(), ResourceError)])


async def costs(service: Service = AService) -> str:
    """What everything cost in the last 30 days, by day, executor, model and task, and the daily budgets."""
    return await _read(service.costs())


def add_resources(face: FastMCP[Any]) -> None:
    """Add them to a face."""
    rows: tuple[tuple[str, str, Callable[..., Awaitable[str]]], ...] = (
        (TASK, "Task", task),
        (EVENTS, "History of a task", events),
        ("omni://mode", "Mode", mode),
        ("omni://executors", "Executors", executors),
        ("omni://costs", "Costs", costs),
    )
    for uri, title, read in rows:
        face.resource(uri, title=title, mime_type=JSON)(read)


async def _read(view: Awaitable[View]) -> str:
    return _text((await answered(view, ResourceError)).shown())


def _number(said: str) -> int:
    if said.isascii() and said.isdecimal() and int(said[:20]) <= LARGEST:
        return int(said)
    raise refused(ResourceError, f"since_seq {said[:64]!r} is no number of a line", "the next_seq of the page before")


def _text(shown: Any) -> str:
    return json.dumps(shown, ensure_ascii=False)
