"""What stands before every request of a caller with a token: the scope that it needs, and how often they may ask."""

from collections.abc import Callable
from typing import Any

from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import Tool

from omni_mcp.errors import OmniError, RateLimited, SettingsError
from omni_mcp.faces.caller import FREE, METHODS, READ, Bearer, needed, the_caller
from omni_mcp.faces.pace import Pace
from omni_mcp.faces.refused import call_refused, rpc_refused
from omni_mcp.servers_file.http import Http
from omni_mcp.views.error import error_view

REFUSED = -32010
"""The JSON-RPC code of what is refused here, of the range that is left to implementations; `data` says the rest."""


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
            if context.method == "tools/call":
                return call_refused(error_view(error))
            raise rpc_refused(REFUSED, error) from error
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
        if wait := self._pace.wait(caller.principal, per_second=http.rate.per_second, burst=http.rate.burst):
            raise RateLimited(http.rate.per_second, round(wait + 0.05, 1))
        if context.method == "tools/call":
            caller.require(context.message.name, needed(context.message.name, context.message.arguments))
        elif context.method not in FREE:
            caller.require(str(context.method), METHODS.get(str(context.method), READ))
