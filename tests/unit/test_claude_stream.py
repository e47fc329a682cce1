"""What a line of the stream tells, and what a run came to."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from omni_mcp.adapters.claude_result import Exit, conclude, forgotten, hopeless
from omni_mcp.adapters.claude_stream import LINE_CHARS, Transcript
from omni_mcp.contract import RunResult, RunUsage
from omni_mcp.task import FailureClass

INIT = {"type": "system", "subtype": "init", "session_id": "s-1", "model": "some-model"}
GOOD = {"type": "result", "subtype": "success", "is_error": False, "terminal_reason": "completed", "result": "done"}


def a_transcript(*events: object) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.take(json.dumps(event).encode())
    return transcript


def tell(event: object) -> list[str]:
    return list(Transcript().take(json.dumps(event).encode()))


def said(*blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "assistant", "message": {"role": "assistant", "content": list(blocks)}, **fields}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def end(*events: object, code: int | None = 0, stderr: str = "", relayed: bool = True) -> RunResult:
    return conclude(a_transcript(*events), Exit(code=code, stderr=stderr), relayed=relayed)


def refused(status: int | None, message: str = "refused") -> dict[str, Any]:
    """A dead endpoint as Claude Code reports it: a success that is an error."""
    reason = {"terminal_reason": "api_error", "api_error_status": status}
    return {"type": "result", "subtype": "success", "is_error": True, "result": message, **reason}


def test_a_tool_call_is_told_by_its_name_and_what_it_is_about():
    call = {"type": "tool_use", "name": "Bash", "input": {"description": "Run them", "command": "make\n  test"}}
    assert tell(said(text("Now the tests."), call)) == ["Now the tests.", "Bash: make test"]


def test_a_long_line_is_cut():
    lines = tell(said(text("word " * 100)))
    assert [len(line) for line in lines] == [LINE_CHARS]
    assert lines[0].endswith("…")


def test_an_empty_text_and_an_unknown_event_tell_nothing():
    assert not tell(said(text("  ")))
    assert not tell({"type": "system", "subtype": "brand_new"})
    assert not tell({"type": "user", "message": {"role": "user", "content": "words"}})


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (INIT, "session started with some-model"),
        (
            {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 2, "error_status": 503},
            "model call failed (503), retry 1 of 2",
        ),
        (
            {"type": "system", "subtype": "model_fallback", "original_model": "a", "fallback_model": "b"},
            "a does not answer, going on with b",
        ),
        (
            {"type": "system", "subtype": "permission_denied", "tool_name": "Write", "message": "not granted"},
            "denied: Write",
        ),
        ({"type": "tool_progress", "tool_name": "Bash", "elapsed_time_seconds": 75}, "Bash: running for 75 s"),
        (said(text("Looking."), parent_tool_use_id="t-1"), "sub-agent: Looking."),
    ],
)
def test_what_concerns_people_becomes_a_line(event: object, line: str):
    assert tell(event) == [line]


@pytest.mark.parametrize(
    "line", [b"\n", b"not json\n", b'"text"\n', b"[1]\n", b'{"no": "type"}\n', b'{"type": "\xff"}\n']
)
def test_a_line_that_is_no_event_is_ignored_and_counted(line: bytes):
    transcript = Transcript()
    assert transcript.take(line) == ()
    assert transcript.ignored == 1
    assert transcript.take(json.dumps(GOOD).encode()) == ()
    assert transcript.result is not None


def test_a_good_end_is_completed_with_what_there_is_to_know():
    result = end(INIT, b"".decode(), {**GOOD, "num_turns": 3})
    assert (result.status, result.text, result.usage) == ("completed", "done", None)
    assert result.notes == {"session_id": "s-1", "model": "some-model", "num_turns": 3, "ignored_lines": 1}


def test_a_run_with_everything_denied_is_completed_and_says_so():
    denial = {"tool_name": "Write", "tool_input": {"file_path": "x.py"}}
    result = end(INIT, {**GOOD, "permission_denials": [denial]})
    assert result.status == "completed"
    assert result.notes["permission_denials"] == ["Write: x.py"]


def test_usage_is_counted_with_the_cache_and_never_from_the_session_total():
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 7,
    }
    result = end(INIT, {**GOOD, "usage": usage, "total_cost_usd": 9.9}, relayed=False)
    assert result.usage == RunUsage(
        model="some-model",
        provider="anthropic",
        input_tokens=3210,
        output_tokens=7,
        cache_read_tokens=3000,
        cache_stored_tokens=200,
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (None, FailureClass.PROVIDER),
        (500, FailureClass.PROVIDER),
        (529, FailureClass.PROVIDER),
        (408, FailureClass.PROVIDER),
        (429, FailureClass.RATE_LIMIT),
        (401, FailureClass.AUTH),
        (403, FailureClass.AUTH),
        (404, FailureClass.CONFIG),
        (400, FailureClass.TASK),
        (413, FailureClass.TASK),
    ],
)
def test_a_refused_model_call_is_judged_by_its_status(status: int | None, kind: FailureClass):
    result = end(INIT, said(text("half")), refused(status, "why"), code=1)
    assert (result.failure, result.message, result.text) == (kind, "why", "half")


def test_a_call_refused_before_it_left_is_judged_by_the_vendors_word():
    trouble = said(text("Not logged in · Please run /login"), error="authentication_failed")
    result = end(INIT, trouble, refused(None, "Not logged in · Please run /login"), relayed=False)
    assert result.failure is FailureClass.AUTH
    assert "/login" in (result.fix or "")
    assert result.text == ""


def test_the_fix_of_a_relayed_run_is_not_to_log_in():
    assert "/login" not in (end(INIT, refused(401)).fix or "")


def test_a_usage_limit_carries_its_reset_time():
    limit = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1_800_000_000}}
    assert end(INIT, limit, refused(429)).retry_at == datetime.fromtimestamp(1_800_000_000, UTC)


def test_a_limit_that_was_only_near_is_no_reset_time():
    near = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed_warning", "resetsAt": 1_800_000_000}}
    assert end(INIT, near, refused(429)).retry_at is None


@pytest.mark.parametrize("reason", ["aborted_tools", "aborted_streaming"])
def test_an_aborted_run_is_interrupted_although_its_exit_code_is_zero(reason: str):
    event = {"type": "result", "subtype": "error_during_execution", "is_error": False, "terminal_reason": reason}
    assert end(INIT, said(text("half")), event, code=0).failure is FailureClass.INTERRUPTED


@pytest.mark.parametrize("reason", ["max_turns", "budget_exhausted", "prompt_too_long"])
def test_a_limit_of_the_run_is_the_tasks_failure_with_what_it_had(reason: str):
    event = {"type": "result", "is_error": True, "terminal_reason": reason, "errors": ["Reached it"]}
    result = end(INIT, said(text("half")), said(text("not its own"), parent_tool_use_id="t-1"), event, code=1)
    assert (result.failure, result.text) == (FailureClass.TASK, "half")
    assert "Reached it" in (result.message or "")


def test_an_end_for_reasons_unheard_of_fails_closed():
    event = {"type": "result", "is_error": True, "terminal_reason": "brand_new"}
    assert end(INIT, event).failure is FailureClass.UNKNOWN


def test_no_result_is_an_interruption_whatever_the_exit_code():
    result = end(INIT, said(text("half")), code=0)
    assert (result.failure, result.text) == (FailureClass.INTERRUPTED, "half")


def test_a_session_in_use_is_an_interruption():
    result = end(code=1, stderr="Error: Session ID 1 is already in use.\n")
    assert result.failure is FailureClass.INTERRUPTED
    assert "already in use" in (result.message or "")


def test_an_old_binary_is_a_matter_of_configuration():
    result = end(code=1, stderr="error: unknown option '--permission-prompts'\n")
    assert result.failure is FailureClass.CONFIG
    assert "npm install" in (result.fix or "")


def test_a_session_is_forgotten_only_if_nothing_began():
    lost = Exit(code=1, stderr="No conversation found with session ID: 1\n")
    assert forgotten(a_transcript(), lost)
    assert not forgotten(a_transcript(INIT), lost)
    assert not forgotten(a_transcript(), Exit(code=1, stderr=""))


NOW = datetime(2026, 11, 30, tzinfo=UTC)


def retry(attempt: int, pause: float = 0.5, status: int | None = 503, error: str = "server_error") -> dict[str, Any]:
    told = {"attempt": attempt, "max_retries": 10, "retry_delay_ms": pause * 1000, "error_status": status}
    return {"type": "system", "subtype": "api_retry", **told, "error": error}


def test_a_storm_of_retries_is_the_providers_failure_and_a_hiccup_is_none():
    assert hopeless(a_transcript(INIT, retry(1), retry(2)), NOW) is None
    ended = hopeless(a_transcript(INIT, said(text("half")), retry(1), retry(2), retry(3)), NOW)
    assert ended is not None
    assert (ended.failure, ended.text) == (FailureClass.PROVIDER, "half")


def test_a_model_that_answers_ends_the_counting_of_retries():
    assert hopeless(a_transcript(INIT, retry(3), said(text("here I am"))), NOW) is None


def test_a_retry_that_is_far_away_is_left_to_the_engine_with_its_time():
    ended = hopeless(a_transcript(INIT, retry(1, 50, 429, "rate_limit")), NOW)
    assert ended is not None
    assert (ended.failure, ended.retry_at) == (FailureClass.RATE_LIMIT, NOW + timedelta(seconds=50))


def piece(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind}, "parent_tool_use_id": None, **fields}


def status(word: str | None) -> dict[str, Any]:
    return {"type": "system", "subtype": "status", "status": word}


def test_a_model_call_is_open_from_its_request_to_its_last_piece_and_never_while_a_command_runs():
    asking = [INIT, status("requesting")]
    running = [*asking, piece("message_start"), said({"type": "tool_use", "name": "Bash"}), piece("message_stop")]
    assert not a_transcript(INIT).asking
    assert a_transcript(*asking).asking
    assert a_transcript(*running[:-1]).asking
    assert not a_transcript(*running).asking
    assert not a_transcript(*running, piece("content_block_delta", parent_tool_use_id="t-1")).asking
    assert not a_transcript(*asking, status("compacting")).asking
    assert a_transcript(*running, status("requesting")).asking


def test_an_empty_account_is_nothing_a_task_can_help():
    empty: dict[str, Any] = {"type": "assistant", "error": "billing_error", "message": {"content": []}}
    assert end(INIT, empty, refused(400)).failure is FailureClass.AUTH
    assert end(INIT, refused(402)).failure is FailureClass.AUTH


@pytest.mark.parametrize("code", [126, 127])
def test_what_cannot_be_executed_is_a_fault_of_the_machine_and_not_of_the_run(code: int):
    result = end(code=code, stderr="env: node: No such file or directory")
    assert (result.failure, "cannot be started: env: node" in (result.message or "")) == (FailureClass.CONFIG, True)
    assert "npm install" in (result.fix or "")


def test_a_run_that_had_begun_and_ends_with_the_same_code_is_an_interrupted_one():
    assert end({"type": "system", "subtype": "init"}, code=127).failure is FailureClass.INTERRUPTED
