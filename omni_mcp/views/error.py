"""What went wrong."""

from omni_mcp.errors import OmniError
from omni_mcp.views.view import View


class ErrorView(View):
    """What went wrong, and the next call."""

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None
    """Seconds."""
    next_step: str | None = None


def error_view(error: OmniError) -> ErrorView:
    """Show an error."""
    return ErrorView(
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after=error.retry_after,
        next_step=error.next_step,
    )
