"""What an exception of litellm means. Pure, and without litellm: by its status first, by its shape second.

The classes lie (a 402 is a BadRequestError, a refused connection an InternalServerError, a 403 an APIError), and the
"rate limit" of a Router whose routes all rest after faults is an outage.
"""

import re
from collections.abc import Mapping

from omni_mcp.llm.base import ModelError
from omni_mcp.task import FailureClass

KINDS: Mapping[int, FailureClass] = {
    400: FailureClass.TASK,
    401: FailureClass.AUTH,
    402: FailureClass.AUTH,
    403: FailureClass.AUTH,
    404: FailureClass.CONFIG,
    413: FailureClass.TASK,
    422: FailureClass.TASK,
    429: FailureClass.RATE_LIMIT,
}
"""What an HTTP status means; every other one is the provider's trouble."""

UNAVAILABLE, NO_ANSWER = 503, 504

REQUEST_TIMEOUT = 408
"""What litellm says when nobody answered; to our caller that would mean that it was too slow itself."""

LONGEST = 500
"""Characters of a provider's message that are passed on."""


SECRET = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|pk|key|gh[a-z]|xox[a-z])[-_][\w*.-]{6,}")
"""What looks like a key: providers repeat a refused one in their message."""


def model_error(error: Exception) -> ModelError:
    """Return what a failed call means to the one who made it, without the key that it was made with."""
    said = SECRET.sub("•••", str(error).partition("\n")[0])[:LONGEST] or type(error).__name__
    status = getattr(error, "status_code", None)
    if isinstance(error, TimeoutError) or status == REQUEST_TIMEOUT:
        return ModelError(f"no answer in time: {said}", status=NO_ANSWER, kind=FailureClass.PROVIDER)
    if isinstance(status, int):
        kind = KINDS.get(status, FailureClass.PROVIDER)
        return ModelError(said, status=status, kind=kind, retry_after=_retry_after(error))
    if isinstance(error, ValueError) and (rest := getattr(error, "cooldown_time", None)) is not None:
        return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, retry_after=float(rest))
    said = f"LiteLLM failed: {type(error).__name__}: {said}"
    return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, broken=True)


def _retry_after(error: Exception) -> float | None:
    headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:  # absent, or a date
        return None
