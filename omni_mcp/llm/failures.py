"""What a failed model call means, whoever made it: by its status first, by what its body says second. Pure.

It knows litellm's exceptions without litellm. Their classes lie (a 402 is a BadRequestError, a refused connection an
InternalServerError, a 403 an APIError), and the "rate limit" of a Router whose routes all rest after faults is an
outage.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx

from omni_mcp.llm.base import ModelError, Refusal
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

BAD_GATEWAY, UNAVAILABLE, NO_ANSWER = 502, 503, 504

UNREACHED = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError),
    *(httpx.UnsupportedProtocol, httpx.InvalidURL),
)
"""What a request fails with that arrived nowhere."""

REQUEST_TIMEOUT = 408
"""What litellm says when nobody answered; to our caller that would mean that it was too slow itself."""

LONGEST = 500
"""Characters of a provider's message that are passed on."""

SECRET = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|pk|key|gh[a-z]|xox[a-z])[-_][\w*.-]{6,}")
"""What looks like a key: providers repeat a refused one in their message."""


REFUSALS: Mapping[Refusal, re.Pattern[str]] = {
    Refusal.POLICY: re.compile(r"(?i)content_?policy_?violation|content_filter|content management policy"),
    Refusal.CONTEXT: re.compile(
        r"(?i)context_length_exceeded|context_?window_?exceeded|maximum context length"
        r"|prompt is too long"
    ),
}
"""What a model says that does not take this call, in the words of OpenAI, Azure, Anthropic and LiteLLM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exception:
    """What the body says where the status says something else."""

    statuses: frozenset[int]
    said: str
    status: int
    kind: FailureClass


_EXCEPTIONS = (
    # LiteLLM: every route rests after faults, which it calls a rate limit
    _Exception(
        statuses=frozenset({429}),
        said=r"(?i)all_deployments_in_cooldown|no deployments available",
        status=UNAVAILABLE,
        kind=FailureClass.PROVIDER,
    ),
    # LiteLLM without a database: a key that is not the master key
    _Exception(statuses=frozenset({400}), said="no_db_connection", status=401, kind=FailureClass.AUTH),
    # LiteLLM: it has no such model
    _Exception(
        statuses=frozenset({400}),
        said=r"(?i)invalid model name passed|no healthy deployments for this model",
        status=404,
        kind=FailureClass.CONFIG,
    ),
    # Anthropic and OpenAI: the account is empty, which no task can help
    _Exception(
        statuses=frozenset({400, 429}),
        said=r"(?i)credit balance is too low|insufficient_quota",
        status=402,
        kind=FailureClass.AUTH,
    ),
)

TYPES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}
"""The status of an error that comes under HTTP 200 or in a stream; https://docs.anthropic.com/en/api/errors"""


def model_error(error: Exception) -> ModelError:
    """Return what an exception of litellm means to the one who made the call, without the key that it was made with."""
    said = clean(str(error).partition("\n")[0]) or type(error).__name__
    status = getattr(error, "status_code", None)
    if isinstance(error, TimeoutError) or status == REQUEST_TIMEOUT:
        return ModelError(f"no answer in time: {said}", status=NO_ANSWER, kind=FailureClass.PROVIDER)
    if isinstance(status, int):
        status, kind = _meaning(status, str(error))
        retry_after, refuses = _seconds(_headers_of(error)), _refusal(status, str(error))
        return ModelError(said, status=status, kind=kind, retry_after=retry_after, refuses=refuses)
    if isinstance(error, ValueError) and (rest := getattr(error, "cooldown_time", None)) is not None:
        return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, retry_after=float(rest))
    said = f"LiteLLM failed: {type(error).__name__}: {said}"
    return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, broken=True)


def transport_error(error: Exception, *, who: str) -> ModelError:
    """Return what it means that a request over HTTP did not come to an answer."""
    if isinstance(error, UNREACHED):
        said = f"{who} cannot be reached ({clean(str(error)) or type(error).__name__})"
        return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER, broken=True)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return ModelError(f"{who} gave no answer in time", status=NO_ANSWER, kind=FailureClass.PROVIDER)
    said = f"{who} broke off: {clean(str(error)) or type(error).__name__}"
    return ModelError(said, status=UNAVAILABLE, kind=FailureClass.PROVIDER)


def answer_error(status: int, raw: bytes, headers: Mapping[str, str], *, who: str) -> ModelError:
    """Return what an answer means that is an error, or none that a model API gives."""
    body = parsed(raw)
    told = error_in(body) if body is not None else None
    if told is None:
        return _strange(status, raw, headers, who=who)
    if status < 400:
        status = status_in(told)
    status, kind = _meaning(status, json.dumps(told))
    message, refuses = f"{who}: {_message(told)}", _refusal(status, json.dumps(told))
    return ModelError(message, status=status, kind=kind, retry_after=_seconds(headers), refuses=refuses)


def parsed(raw: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object in a body; None: it is none."""
    try:
        body: Any = json.loads(raw)
    except (ValueError, RecursionError):  # the latter: nested too deeply
        return None
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else None


def error_in(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the error that a body tells of, whatever its status; None: it tells of none."""
    told: Any = body.get("error")
    if isinstance(told, dict):
        return cast("Mapping[str, Any]", told)
    return {"message": str(told or "no words")} if told or body.get("type") == "error" else None


def status_in(told: Mapping[str, Any]) -> int:
    """Return the status that an error under HTTP 200 would have had."""
    code = str(told.get("code"))
    if code.isdigit() and 400 <= int(code) < 600:
        return int(code)
    return TYPES.get(str(told.get("type")), BAD_GATEWAY)


def clean(text: str) -> str:
    """Return a text without what looks like a key, and not too long."""
    return SECRET.sub("•••", text)[:LONGEST]


def _meaning(status: int, said: str) -> tuple[int, FailureClass]:
    """Return the status to pass on, and the class."""
    for known in _EXCEPTIONS:
        if status in known.statuses and re.search(known.said, said):
            return known.status, known.kind
    return status, KINDS.get(status, FailureClass.PROVIDER)


def _refusal(status: int, said: str) -> Refusal | None:
    return next((why for why, words in REFUSALS.items() if status in (400, 413) and words.search(said)), None)


def _strange(status: int, raw: bytes, headers: Mapping[str, str], *, who: str) -> ModelError:
    """Return what an answer means that no model API gives: neither the task nor a model's name can be its cause."""
    kind = KINDS.get(status, FailureClass.PROVIDER)
    if status < 400 or kind in (FailureClass.TASK, FailureClass.CONFIG):
        kind = FailureClass.PROVIDER
    said = clean(" ".join(raw[:LONGEST].decode(errors="replace").split()))[:100] or "nothing"
    message = f"{who} answered HTTP {status} as no model API does: {said}"
    passed_on = status if kind is not FailureClass.PROVIDER or status >= 500 else BAD_GATEWAY
    return ModelError(message, status=passed_on, kind=kind, retry_after=_seconds(headers))


def _message(told: Mapping[str, Any]) -> str:
    return clean(str(told.get("message") or told.get("type") or "no words").partition("\n")[0])


def _headers_of(error: Exception) -> Mapping[str, str]:
    return getattr(error, "litellm_response_headers", None) or {}


def _seconds(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:  # absent, or a date
        return None
