"""Who calls a face, and what they may ask for: a bearer token says it (HTTP); without one it is whoever started us."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastmcp import Context
from fastmcp.dependencies import CurrentContext, Depends
from fastmcp.server.auth import AccessToken
from fastmcp.server.dependencies import get_access_token

from omni_mcp.errors import Forbidden
from omni_mcp.servers_file.http import Scope
from omni_mcp.service.service import Service

READ, WRITE, METRICS, ADMIN = "tasks:read", "tasks:write", "metrics:read", "admin"
SCOPES: tuple[Scope, ...] = (READ, WRITE, METRICS, ADMIN)

NOBODY = "nobody"
"""The principal of a face that wants tokens, until one says whose a call is: it has no tasks."""

TOOLS: Mapping[str, Scope] = {
    "submit_task": WRITE,
    "task_status": READ,
    "task_result": READ,
    "list_tasks": READ,
    "cancel_task": WRITE,
    "answer_task": WRITE,
    "resume_pending": WRITE,
    "system_mode": READ,
}
"""What each tool needs; one that is not here needs `admin`."""

FREE = frozenset({
    "initialize", "ping", "server/discover", "logging/setLevel", "tools/list", "resources/list",
    "resources/templates/list", "prompts/list",
})  # fmt: skip
"""Requests that any token may make: they say what there is, and nothing of a task."""

METHODS: Mapping[str, Scope] = {"tasks/update": WRITE, "tasks/cancel": WRITE}
"""What other requests need, if not to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """The bearer of a token."""

    principal: str
    scopes: frozenset[str]

    @classmethod
    def of(cls, token: AccessToken) -> "Bearer":
        """Return the bearer of a token that is good."""
        return cls(principal=token.client_id, scopes=known(token.scopes))

    @property
    def admin(self) -> bool:
        """Whether the tasks of everybody are theirs to see."""
        return ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether the token has a scope; `admin` includes the others."""
        return scope in self.scopes or self.admin

    def require(self, what: str, scope: Scope) -> None:
        """Raise Forbidden when the token does not have a scope."""
        if not self.may(scope):
            raise Forbidden(what, scope, self.scopes)


def the_caller() -> Bearer | None:
    """Return who makes the request at hand; None where no tokens are wanted."""
    token = get_access_token()
    return None if token is None else Bearer.of(token)


def known(scopes: Collection[str]) -> frozenset[str]:
    """Return those scopes that mean something here: a token may have some for other services."""
    return frozenset(SCOPES) & frozenset(scopes)


def for_caller(service: Service) -> Service:
    """Return the service as the caller may use it: everything that serves a request goes through here."""
    caller = the_caller()
    return service if caller is None else replace(service, principal=caller.principal, admin=caller.admin)


AContext: Any = CurrentContext()


def service_of(context: Context = AContext) -> Service:
    """Return the Service that was opened with the server, as the caller of the request at hand may use it."""
    return for_caller(context.lifespan_context["service"])


AService: Any = Depends(service_of)


def needed(tool: str, arguments: Mapping[str, Any] | None) -> Scope:
    """Return the scope that a call of a tool needs."""
    if tool == "system_mode" and (arguments or {}).get("set") is not None:
        return ADMIN
    return TOOLS.get(tool, ADMIN)
