"""What a tool answers: a view as a call result, and what every answer says while the mode is not normal."""

from collections.abc import Mapping

from fastmcp.tools.base import ToolResult

from omni_mcp.errors import OmniError
from omni_mcp.service.service import Service
from omni_mcp.views.error import ErrorView
from omni_mcp.views.view import View


async def call_result(service: Service, view: View, *, is_error: bool = False) -> ToolResult:
    """Return a view as the result of a call; an ErrorView always is an error."""
    structured = {**await _mode_of(service), **view.shown()}
    return ToolResult(structured_content=structured, is_error=is_error or isinstance(view, ErrorView))


async def _mode_of(service: Service) -> Mapping[str, str]:
    """Return what every answer says while the mode is not normal; a ledger that is busy costs only that."""
    try:
        said = await service.mode_note()
    except OmniError:
        return {}
    return {} if said is None else {"mode": said}
