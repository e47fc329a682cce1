"""Judge the end of a `claude -p` run. Pure: a transcript and how the process ended in, a `RunResult` out.

Exit code and `subtype` lie (a dead endpoint is `subtype: success`, SIGINT is exit code 0, a run with every tool
denied is a success), so it rests on `is_error`, `terminal_reason`, `api_error_status` and whether there is a result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from omni_mcp.adapters.claude_stream import Event, Transcript, call_in_words, shorten
from omni_mcp.contract import RunResult, RunUsage, failed
from omni_mcp.errors import ExecutorUnusable
from omni_mcp.task import FailureClass

LOGIN_FIX = "start `claude` in a terminal and type /login, or give the executor's row an ANTHROPIC_API_KEY"
RELAY_FIX = "check the keys under `models` in servers.yaml; the relay or its provider refused the call"
SILENCE_FIX = "if it is only slow, raise limits.silent_seconds in servers.yaml"
INSTALL_FIX = "install it: npm install -g @anthropic-ai/claude-code, or name it with `binary`"
UPDATE_FIX = "update it: npm install -g @anthropic-ai/claude-code@latest"
MODEL_FIX = "submit with another model, or mend the model name in servers.yaml"

BY_STATUS: Mapping[int, FailureClass] = {
    400: FailureClass.TASK,
    401: FailureClass.AUTH,
    402: FailureClass.AUTH,
    403: FailureClass.AUTH,
    404: FailureClass.CONFIG,
    408: FailureClass.PROVIDER,
    413: FailureClass.TASK,
    422: FailureClass.TASK,
    429: FailureClass.RATE_LIMIT,
}
"""What an HTTP status of the model endpoint means; any other one is the provider's trouble."""

BY_TROUBLE: Mapping[str, FailureClass] = {
    "authentication_failed": FailureClass.AUTH,
    "oauth_org_not_allowed": FailureClass.AUTH,
    "account_on_hold": FailureClass.AUTH,
    "verification_required": FailureClass.AUTH,
    "billing_error": FailureClass.AUTH,
    "cloud_credential_error": FailureClass.AUTH,
    "rate_limit": FailureClass.RATE_LIMIT,
    "invalid_request": FailureClass.TASK,
    "max_output_tokens": FailureClass.TASK,
    "model_not_found": FailureClass.CONFIG,
}
"""The same in the vendor's words, which say more: an empty account is a 400, `Not logged in` has no status at all."""

LIMITS = frozenset({"max_turns", "budget_exhausted", "prompt_too_long"})
"""Ends that a second try would only repeat."""

NO_PROGRAM = frozenset({126, 127})
"""Exit codes of what is not there or cannot be executed, be it `claude` or the Node that it wants (POSIX, `sh`)."""

RETRIES = 2
"""So often Claude Code itself repeats a failed model call: that gets over a hiccup, and shows an outage in seconds."""

LONGEST_PAUSE = timedelta(seconds=10)
"""A retry that is further away is the engine's: meanwhile the slot is free, and `task_status` says until when."""


NOTHING = Event(type="nothing")
"""Stands in for an event that never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the process ended."""

    code: int | None
    stderr: str


def forgotten(transcript: Transcript, end: Exit) -> bool:
    """Whether a resume found no session: the earlier run was killed before it wrote one."""
    return transcript.began is None and "No conversation found with session ID" in end.stderr


def hopeless(transcript: Transcript, now: datetime) -> RunResult | None:
    """Return the end of a run whose model call is repeated too often, or not for long; None: let it go on."""
    retry = transcript.retry
    if retry is None:
        return None
    pause = timedelta(milliseconds=retry.retry_delay_ms or 0)
    if (retry.attempt or 0) <= RETRIES and pause <= LONGEST_PAUSE:
        return None
    kind = _kind(retry.error_status, retry.error)
    message = f"the model call was refused ({retry.error_status or retry.error or 'no answer'})"
    limited = kind is FailureClass.RATE_LIMIT
    return failed(kind, message, text=transcript.said, retry_at=now + pause if limited else None)


def unanswered(transcript: Transcript, seconds: float) -> RunResult:
    """Return the end of a run whose model call brought nothing for so long."""
    message = f"the model's endpoint has said nothing for {seconds:g} s in an open call"
    return failed(FailureClass.PROVIDER, message, fix=SILENCE_FIX, text=transcript.said)


def conclude(transcript: Transcript, end: Exit, *, relayed: bool) -> RunResult:
    """Say what the run came to; `relayed`: its model calls went through the relay, which meters them itself."""
    judged = _without_result(transcript, end)
    if transcript.result is not None:
        judged = _with_result(transcript, transcript.result, relayed=relayed)
    usage = None if relayed else _usage(transcript)
    return judged.model_copy(update={"usage": usage, "notes": {**_notes(transcript), **judged.notes}})


def _without_result(transcript: Transcript, end: Exit) -> RunResult:
    reason = shorten(end.stderr) or f"exit code {end.code}"
    if "unknown option" in end.stderr:
        return failed(FailureClass.CONFIG, f"this Claude Code is too old: {reason}", fix=UPDATE_FIX)
    if end.code in NO_PROGRAM and transcript.began is None:
        return failed(ExecutorUnusable.kind, f"Claude Code cannot be started: {reason}", fix=INSTALL_FIX)
    return failed(FailureClass.INTERRUPTED, f"Claude Code ended without a result: {reason}", text=transcript.said)


def _with_result(transcript: Transcript, result: Event, *, relayed: bool) -> RunResult:
    reason = result.terminal_reason or ""
    if reason.startswith("aborted"):
        return failed(FailureClass.INTERRUPTED, f"Claude Code was stopped ({reason})", text=transcript.said)
    if reason == "api_error" or result.api_error_status is not None:
        return _refused_call(transcript, result, relayed=relayed)
    if not result.is_error:
        return RunResult(status="completed", text=result.result or "")
    said = "; ".join(str(error) for error in result.errors) or result.result or result.subtype or "no reason given"
    kind = FailureClass.TASK if reason in LIMITS else FailureClass.UNKNOWN
    return failed(kind, f"Claude Code gave up ({reason or 'no reason'}): {said}", text=transcript.said)


def _refused_call(transcript: Transcript, result: Event, *, relayed: bool) -> RunResult:
    status = result.api_error_status
    kind = _kind(status, transcript.trouble)
    fixes = {FailureClass.AUTH: RELAY_FIX if relayed else LOGIN_FIX, FailureClass.CONFIG: MODEL_FIX}
    message = (result.result or "").rstrip(".") or f"the model call was refused ({status or 'no status'})"
    retry_at = transcript.resets_at if kind is FailureClass.RATE_LIMIT else None
    return failed(kind, message, fix=fixes.get(kind), text=transcript.said, retry_at=retry_at)


def _kind(status: int | None, trouble: object) -> FailureClass:
    return BY_TROUBLE.get(str(trouble)) or BY_STATUS.get(status or 0, FailureClass.PROVIDER)


def _usage(transcript: Transcript) -> RunUsage | None:
    """Per run: `usage` is, while `total_cost_usd` and `modelUsage` add up over a resumed session."""
    used = (transcript.result or NOTHING).usage
    if not used:
        return None
    sent = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return RunUsage(
        model=(transcript.began or NOTHING).model,
        provider="anthropic",
        input_tokens=sum(used.get(key) or 0 for key in sent),
        output_tokens=used.get("output_tokens"),
        cache_read_tokens=used.get("cache_read_input_tokens") or 0,
        cache_stored_tokens=used.get("cache_creation_input_tokens") or 0,
    )


def _notes(transcript: Transcript) -> dict[str, Any]:
    began, result = transcript.began or NOTHING, transcript.result or NOTHING
    notes = {
        "session_id": began.session_id,
        "model": began.model,
        "num_turns": result.num_turns,
        "permission_denials": [call_in_words(call.tool_name, call.tool_input) for call in result.permission_denials],
        "api_retries": transcript.api_retries,
        "ignored_lines": transcript.ignored,
    }
    return {key: value for key, value in notes.items() if value}
