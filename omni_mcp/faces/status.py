"""The HTTP status of an error, for what is asked over plain HTTP: webhooks, the web page, metrics."""

from omni_mcp.errors import BadRequest, Forbidden, IdempotencyConflict, LedgerError, OmniError, TaskNotFound, TaskPurged

LATER = 503


def status_of(error: OmniError) -> int:
    """Return the status by what an error means to its caller (RFC 9110, section 15)."""
    match error:
        case Forbidden():
            return 403
        case TaskNotFound():
            return 404
        case IdempotencyConflict():
            return 409
        case TaskPurged():
            return 410
        case BadRequest():
            return 422
        case LedgerError():
            return LATER
        case _:
            return 500
