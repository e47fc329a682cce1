"""What the MCP client raises when the other side does not behave, and what each of it means. Pure."""

from typing import cast

import anyio
import httpx2
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, REQUEST_TIMEOUT
from pydantic import ValidationError

from omni_mcp.task import Failed, FailureClass

TROUBLES = (
    MCPError,
    ValidationError,
    RuntimeError,
    ExceptionGroup,
    OSError,
    httpx2.HTTPError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What the client raises when the other side does not behave."""
CLEAR_CODES = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})
"""JSON-RPC errors that say that nothing was done."""
UNCLEAR_CODES = frozenset({CONNECTION_CLOSED, REQUEST_TIMEOUT, INVALID_REQUEST})
"""Those that a dead link and a living server both use; the last is what a restarted HTTP server says."""


def failure_of(error: Exception, *, tool: str, timeout: float) -> Failed:
    """Say what a call on a living session came to that did not give a result."""
    match error:
        case TimeoutError():
            fix = "raise the executor's `timeout` in servers.yaml, or make the task smaller"
            return Failed(kind=FailureClass.TASK, message=f"{tool} did not answer in {timeout:g} s", fix=fix)
        case MCPError() if error.code in CLEAR_CODES:
            return Failed(kind=FailureClass.TASK, message=f"{tool} refused the call: {error.message}")
        case MCPError():
            return Failed(kind=FailureClass.UNKNOWN, message=f"{tool} gave error {error.code}: {error.message}")
        case RuntimeError():
            return Failed(kind=FailureClass.TASK, message=f"{tool} broke its own output schema: {words_of(error)}")
        case _:
            return Failed(kind=FailureClass.UNKNOWN, message=f"{tool} gave a malformed result: {words_of(error)}")


def is_clear(error: Exception) -> bool:
    """Whether an error proves that the server lives, because only it can have said this."""
    return isinstance(error, ValidationError) or (isinstance(error, MCPError) and error.code not in UNCLEAR_CODES)


def words_of(error: BaseException) -> str:
    """Return what happened in one line, with its innermost cause."""
    if isinstance(error, ExceptionGroup):
        return words_of(cast("ExceptionGroup[Exception]", error).exceptions[0])
    said = " ".join(str(error).split())[:500] or type(error).__name__
    cause = error.__cause__
    return said if cause is None or str(cause) in said else f"{said}: {words_of(cause)}"
