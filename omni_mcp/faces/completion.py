"""What a client offers while a person fills in an argument of a prompt or address: ids, executors, states, types."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from fastmcp.server.completions import CompletionReference
from mcp_types import CompletionArgument, CompletionContext

from omni_mcp.errors import OmniError
from omni_mcp.service.service import Service
from omni_mcp.task import TaskState

TASKS = 100
"""The newest tasks are offered; a completion has at most 100 values (MCP 2025-11-25, utilities/completion)."""

Offers = Callable[[Service, str], Awaitable[Sequence[str]]]
Complete = Callable[[CompletionReference, CompletionArgument, CompletionContext | None], Awaitable[list[str]]]


def completer(opened: Callable[[], AbstractAsyncContextManager[Service]]) -> Complete:
    """Return the handler of a face; where nothing can be known it offers nothing, for nobody asked for an error."""

    async def complete(
        _ref: CompletionReference, argument: CompletionArgument, _context: CompletionContext | None
    ) -> list[str]:
        offers = OFFERS.get(argument.name)
        if offers is None:
            return []
        try:
            async with opened() as service:
                return list(await offers(service, argument.value.strip().lower()))
        except OmniError:
            return []

    return complete


async def _tasks(service: Service, said: str) -> Sequence[str]:
    """Offer ids by their beginning, else by words of the task, which people remember; the newest first."""
    rows = (await service.list(limit=TASKS)).tasks
    begin = [task.task_id for task in rows if task.task_id.startswith(said)]
    return begin or [task.task_id for task in rows if said in task.description.lower()]


async def _executors(service: Service, said: str) -> Sequence[str]:
    return [each.name for each in service.executors() if each.name.lower().startswith(said)]


async def _types(service: Service, said: str) -> Sequence[str]:
    return [name for name in service.types() if name.lower().startswith(said)]


async def _states(_service: Service, said: str) -> Sequence[str]:
    return [state.value for state in TaskState if state.value.startswith(said)]


OFFERS: Mapping[str, Offers] = {"task_id": _tasks, "executor": _executors, "type": _types, "state": _states}
"""By the name of the argument, which means the same everywhere."""
