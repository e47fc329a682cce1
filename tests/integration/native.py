"""A client that drives tasks itself (SEP-2663), as small as can be: it asks for one and looks at it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from fastmcp import Client
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from tests.integration.house import LIMIT, until


class Created(Result):
    """A task in place of a result."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    result_type: Literal["task"]
    task_id: str
    status: str
    ttl_ms: int | None
    poll_interval_ms: int


class Told(Result):
    """Whatever is answered, as it stands on the wire."""

    model_config = ConfigDict(extra="allow")


class Drives(ClientExtension):
    """Declares that the client drives tasks."""

    identifier = TASKS_EXTENSION_ID

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Take a task as the result of a call."""
        return (ResultClaim(result_type="task", model=Created, resolve=self._not_here),)

    async def _not_here(self, created: Created, context: ClaimContext) -> NoReturn:
        raise AssertionError((created, context))


@dataclass(frozen=True)
class Driver:
    """A client with tasks."""

    client: Client[Any]

    async def submit(self, **arguments: Any) -> Created:
        """Submit a task that has to come back as one."""
        made = await self.call("submit_task", wait_seconds=50, **arguments)
        assert isinstance(made, Created), made
        return made

    async def call(self, tool: str, **arguments: Any) -> Created | CallToolResult:
        """Call a tool, and take what comes."""
        answer: Any = await self.client.session.call_tool(tool, arguments, allow_claimed=True)
        return answer

    async def send(self, method: str, **params: Any) -> Mapping[str, Any]:
        """Send a request of the extension."""
        told = RequestParams.model_validate({})
        request = _Request(method=method, params=_Params(**told.model_dump(), **params))
        answer = await self.client.session.send_request(request, Told)
        return answer.model_dump(by_alias=True, exclude_none=True)

    async def until(self, task_id: str, *statuses: str) -> Mapping[str, Any]:
        """Look at a task until it has one of these statuses."""

        async def has_one() -> Mapping[str, Any] | None:
            seen = await self.send("tasks/get", taskId=task_id)
            return seen if seen["status"] in statuses else None

        return await until(has_one, limit=LIMIT * 4)  # an engine may have to come up for it


class _Params(RequestParams):
    model_config = ConfigDict(extra="allow")


class _Request(Request[_Params, str]):
    pass


@asynccontextmanager
async def driving(client: Client[Any]) -> AsyncGenerator[Driver]:
    """Open a client that was made with `Drives()`."""
    async with client:
        yield Driver(client)
