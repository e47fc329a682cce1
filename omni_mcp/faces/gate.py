"""What stands before every request of a caller with a token: the scope that it needs, and how often they may ask."""

import time
from collections.abc import Callable, Set
from typing import Any

from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import Tool, ToolResult
from mcp import MCPError

from omni_mcp.decide.pace import Bucket, filled, taken
from omni_mcp.errors import OmniError, RateLimited, SettingsError
from omni_mcp.faces.caller import FREE, METHODS, READ, Bearer, needed, the_caller
from omni_mcp.servers_file import Http, Rate
from omni_mcp.views import error_view

REFUSED = -32010
"""The JSON-RPC code of what is refused here, of the range that is left to implementations; `data` says the rest."""
KNOWN_MOST = 1000
"""Principals whose requests are counted before those are forgotten who have been quiet."""


class Pace:
    """How often each principal has asked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    @property
    def known(self) -> Set[str]:
        """Whose requests are counted."""
        return self._buckets.keys()

    def take(self, principal: str, rate: Rate) -> None:
        """Count one request. Raises RateLimited."""
        now = self._clock()
        bucket = filled(self._buckets.get(principal), now, per_second=rate.per_second, burst=rate.burst)
        self._buckets[principal], wait = taken(bucket, per_second=rate.per_second)
        if len(self._buckets) > KNOWN_MOST:
            self._forget(now, rate)
        if wait:
            raise RateLimited(rate.per_second, round(wait + 0.05, 1))

    def _forget(self, now: float, rate: Rate) -> None:
        """Forget whose buckets are full again: who is not known has a full one, too."""

        def full(bucket: Bucket) -> bool:
            return filled(bucket, now, per_second=rate.per_second, burst=rate.burst).left >= rate.burst

        self._buckets = {name: each for name, each in self._buckets.items() if not full(each)}


class Gate(Middleware):
    """Lets through what the caller may ask for, and as often as the settings allow.

    `guarded`: whether tokens are asked for here.
    """

    def __init__(self, settings: Callable[[], Http], *, guarded: bool) -> None:
        self._settings = settings
        self._guarded = guarded
        self._pace = Pace()

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Refuse a tool's call so that the model reads it, anything else as JSON-RPC has it."""
        try:
            self._check(context, the_caller())
        except OmniError as error:
            said = error_view(error).shown()
            if context.method == "tools/call":
                return ToolResult(structured_content=said, is_error=True)
            raise MCPError(REFUSED, error.message, said) from error
        return await call_next(context)

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> list[Tool]:
        """Show only what the caller may call: no model tries the others then."""
        tools: list[Tool] = await call_next(context)
        caller = the_caller()
        return tools if caller is None else [tool for tool in tools if caller.may(needed(tool.name, None))]

    def _check(self, context: MiddlewareContext[Any], caller: Bearer | None) -> None:
        """Raise RateLimited, Forbidden, and SettingsError where tokens are wanted that nobody asked for."""
        http = self._settings()
        if caller is None:
            if http.guarded and not self._guarded:
                raise SettingsError(
                    "servers.yaml has tokens since this server was started, which asks for none",
                    next_step="tell whoever runs it to restart omni-mcp serve",
                )
            return
        self._pace.take(caller.principal, http.rate)
        if context.method == "tools/call":
            caller.require(context.message.name, needed(context.message.name, context.message.arguments))
        elif context.method not in FREE:
            caller.require(str(context.method), METHODS.get(str(context.method), READ))
