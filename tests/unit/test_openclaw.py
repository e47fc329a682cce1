"""What to do about a run at a gateway, what its events tell, what its end means: tables."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.adapters.openclaw import parse
from omni_mcp.adapters.openclaw_device import Device
from omni_mcp.adapters.openclaw_events import Signs
from omni_mcp.adapters.openclaw_reconcile import (
    EXITED,
    RESUME_LIMIT,
    RETURN_LIMIT,
    Begin,
    Ended,
    Follow,
    Hold,
    Look,
    Lost,
    decide,
)
from omni_mcp.adapters.openclaw_refusal import Refusal, fix_of, is_starting, kind_of
from omni_mcp.adapters.openclaw_result import NEVER_BEGAN, Transcript, conclude
from omni_mcp.contract import GATEWAY_HEADERS, GATEWAY_TOKEN, GATEWAY_URL
from omni_mcp.errors import ExecutorUnusable
from omni_mcp.task import FailureClass

HOUR = 3600.0


def row(status: str, run_id: str = "ours", *, at: int = 1, error: str | None = None) -> dict[str, Any]:
    return {"taskId": f"t-{run_id}", "runId": run_id, "status": status, "createdAt": at, "error": error}


CUT = row("cancelled", error=f"{EXITED}.")
SESSION: dict[str, Any] = {"sessionId": "s"}


def a_look(*rows: dict[str, Any], session: dict[str, Any] | None = None, up_for: float = HOUR, **history: Any) -> Look:
    told = {"sessionInfo": session or {}, **history}
    return Look.read({"tasks": rows}, told, up_for=up_for, known_for=up_for)


INTERRUPTED = {"items": [{"state": "interrupted"}]}
QUEUED = {"items": [{"state": "queued"}]}


@pytest.mark.parametrize(
    ("look", "step"),
    [
        # 1. Nothing there: it was never accepted.
        (a_look(), Begin()),
        (a_look(session=SESSION), Begin()),
        (a_look(session=SESSION, pendingInputs=QUEUED), Follow("ours")),
        # 2. It runs, perhaps under another id: the gateway went on with it.
        (a_look(row("queued"), session=SESSION), Follow("ours")),
        (a_look(row("running", "theirs", at=2), CUT, session=SESSION), Follow("theirs")),
        # 4. Interrupted is not cancelled.
        (a_look(CUT, session=SESSION, up_for=RETURN_LIMIT - 1), Hold()),
        (a_look(CUT, session=SESSION), Lost()),
        (a_look(CUT, session={**SESSION, "abortedLastRun": True}, up_for=RESUME_LIMIT - 1), Hold()),
        (a_look(CUT, session={**SESSION, "status": "running"}, up_for=RESUME_LIMIT - 1), Hold()),
        (a_look(CUT, session={**SESSION, "hasActiveRun": True}, up_for=RESUME_LIMIT - 1), Hold()),
        (a_look(CUT, session={**SESSION, "abortedLastRun": True}), Lost()),
        # It died before it began: then nobody goes on with it.
        (a_look(CUT, session={**SESSION, "abortedLastRun": True}, up_for=5, pendingInputs=INTERRUPTED), Lost()),
        (a_look(session=SESSION, up_for=5, pendingInputs=INTERRUPTED), Lost()),
        # Its ledger was set back: the transcript has it, the ledger has not.
        (a_look(session=SESSION, totalMessages=2, up_for=5), Hold()),
        (a_look(session=SESSION, totalMessages=2), Lost()),
    ],
)
def test_one_look_at_the_gateway_says_what_to_do_next(look: Look, step: object) -> None:
    assert decide(look, run_id="ours", accepted=False) == step


@pytest.mark.parametrize("status", ["completed", "failed", "timed_out", "cancelled"])
def test_what_is_over_is_over_also_if_a_message_of_it_was_never_taken(status: str) -> None:
    step = decide(a_look(row(status), session=SESSION, pendingInputs=INTERRUPTED), run_id="ours", accepted=True)
    assert isinstance(step, Ended)
    assert step.row.status == status


def test_what_was_accepted_is_followed_although_no_row_shows_it_yet() -> None:
    assert decide(a_look(), run_id="ours", accepted=True) == Follow("ours")


def test_a_gateway_that_has_been_up_for_long_is_given_a_while_under_our_eyes() -> None:
    fresh = Look.read({"tasks": [CUT]}, {"sessionInfo": SESSION}, up_for=HOUR, known_for=1)
    assert decide(fresh, run_id="ours", accepted=False) == Hold()


# What events tell


def told(signs: Signs, stream: str, seq: int = 0, run: str = "ours", **data: Any) -> str | None:
    more = {"seq": seq} if seq else {}
    return signs.take("agent", {"runId": run, "stream": stream, "data": data, **more})


def test_events_become_lines_for_people() -> None:
    signs = Signs(runs={"ours"})
    assert told(signs, "lifecycle", phase="start") is None
    assert told(signs, "lifecycle", phase="model", provider="stub", model="one") == "asks stub/one"
    assert told(signs, "tool", phase="start", name="exec") == "exec"
    assert told(signs, "tool", phase="result", name="exec", isError=True) == "exec failed"
    assert told(signs, "tool", phase="result", name="exec") is None
    assert told(signs, "assistant", text="a\nb") == "3 characters: a b"
    assert told(signs, "assistant", text="") is None
    assert told(signs, "usage", outputTokens=3) is None
    assert told(signs, "assistant", run="another", text="not ours") is None
    assert signs.take("tick", {"ts": 1}) is None


def test_an_event_that_comes_too_late_changes_nothing() -> None:
    signs = Signs(runs={"ours"})
    assert told(signs, "assistant", 5, text="the newest")
    assert told(signs, "assistant", 4, text="the") is None
    assert signs.said == "the newest"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("server_error", FailureClass.PROVIDER), ("rate_limit", FailureClass.RATE_LIMIT), ("unclassified", None)],
)
def test_three_retries_for_want_of_a_provider_are_enough(reason: str, kind: FailureClass | None) -> None:
    signs = Signs(runs={"ours"})
    for tried in (1, 2):
        told(signs, "run_status", phase="retrying", retryAttempt=tried, maxRetries=8, reason=reason)
        assert signs.hopeless is None
    line = told(signs, "run_status", phase="retrying", retryAttempt=3, maxRetries=8, reason=reason)
    assert line == f"its model does not answer ({reason}): try 3 of 8"
    assert signs.hopeless is kind


def test_a_model_that_answers_after_all_is_forgiven() -> None:
    signs = Signs(runs={"ours"})
    told(signs, "run_status", phase="retrying", retryAttempt=3, maxRetries=8, reason="server_error")
    told(signs, "assistant", text="here I am")
    assert (signs.hopeless, signs.reason) == (None, None)


# What an end means


def said(text: str, *, run: str = "ours", **more: Any) -> dict[str, Any]:
    content = [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": text}]
    return {"role": "assistant", "content": content, "stopReason": "stop", "__openclaw": {"runId": run}, **more}


def ended(end: Any, *messages: dict[str, Any], reason: str | None = None, error: str | None = None) -> Any:
    transcript = Transcript.model_validate({"messages": messages})
    signs = Signs(reason=reason, said="half of it")
    return conclude(end, run_id="ours", error=error, transcript=transcript, signs=signs, notes={"session": "s"})


def test_the_answer_is_the_last_word_of_that_run_and_the_cost_that_of_all_calls() -> None:
    used = {"input": 3, "cacheRead": 4, "output": 2, "cost": {"total": 0.5}}
    messages = [said("first", usage=used), said("last", usage=used), said("another's", run="theirs", usage=used)]
    result = ended("completed", {"role": "user", "content": "do it"}, *messages)
    assert result.text == "last"
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.cost_usd) == (21, 6, 1.5)


def test_a_cost_that_one_call_does_not_tell_is_not_told_as_less() -> None:
    result = ended("completed", said("a", usage={"input": 1, "cost": {"total": 1}}), said("b", usage={"input": 1}))
    assert (result.usage.input_tokens, result.usage.cost_usd) == (2, None)


def test_a_run_without_a_word_is_completed_and_says_so() -> None:
    assert (ended("completed").status, ended("completed").text) == (
        "completed",
        "(OpenClaw ended the task without a word)",
    )


@pytest.mark.parametrize(
    ("reason", "last", "kind"),
    [
        ("auth", said("no", stopReason="error"), FailureClass.AUTH),
        ("billing", None, FailureClass.AUTH),
        ("model_not_found", None, FailureClass.CONFIG),
        ("context_overflow", None, FailureClass.TASK),
        ("overloaded", None, FailureClass.PROVIDER),
        ("unclassified", None, FailureClass.UNKNOWN),
        (None, said("LLM request failed", stopReason="error"), FailureClass.PROVIDER),
        (None, {"role": "custom", "customType": NEVER_BEGAN, "content": "locked"}, FailureClass.CONFIG),
        (None, said("I was at it"), FailureClass.UNKNOWN),
        (None, None, FailureClass.UNKNOWN),
    ],
)
def test_a_failure_is_told_apart_by_its_reason_and_never_by_its_text(
    reason: str | None, last: dict[str, Any] | None, kind: FailureClass
) -> None:
    lie = "401 invalid api key, rate limit, provider down"
    result = ended("failed", *([last] if last else []), reason=reason, error=lie)
    assert (result.failure, result.lives) == (kind, False)
    assert lie in result.message


def test_a_stop_and_a_time_limit_keep_what_was_said() -> None:
    cancelled, late = ended("cancelled", error="by a person"), ended("timed_out")
    assert (cancelled.failure, cancelled.text) == (FailureClass.CANCELLED, "half of it")
    assert (late.failure, late.text) == (FailureClass.TASK, "half of it")
    assert "timeout" in late.fix


# What a refusal means


@pytest.mark.parametrize(
    ("refusal", "kind", "fix"),
    [
        ({"code": "NOT_PAIRED", "details": {"code": "PAIRING_REQUIRED", "requestId": "r-1"}}, "auth", "approve r-1"),
        ({"code": "NOT_PAIRED", "details": {"code": "PAIRING_REQUIRED", "requestId": "x; rm"}}, "auth", "devices list"),
        ({"code": "NOT_PAIRED", "details": {"code": "DEVICE_IDENTITY_REQUIRED"}}, "auth", "token"),
        ({"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}, "auth", "token"),
        ({"code": "FORBIDDEN"}, "auth", "openclaw devices approve"),
        ({"code": "INVALID_REQUEST", "details": {"code": "PROTOCOL_MISMATCH"}}, "config", "npm install"),
        ({"code": "INVALID_REQUEST", "details": None}, "config", None),
        ({"code": "UNAVAILABLE", "message": "Pending input ownership ended"}, "config", None),
        ({"code": "SOMETHING_NEW"}, "unknown", None),
        ({}, "unknown", None),
    ],
)
def test_a_refusal_is_told_apart_by_its_codes(refusal: dict[str, Any], kind: str, fix: str | None) -> None:
    read = Refusal.model_validate(refusal)
    assert kind_of(read) == kind
    assert (fix_of(read) is None) if fix is None else (fix in str(fix_of(read)))


@pytest.mark.parametrize(
    ("refusal", "starting"),
    [
        ({"code": "UNAVAILABLE", "details": {"reason": "startup-sidecars"}}, True),
        ({"code": "UNAVAILABLE", "retryable": True}, True),
        ({"code": "UNAVAILABLE"}, False),
        ({"code": "INVALID_REQUEST", "retryable": True}, False),
    ],
)
def test_a_gateway_that_only_needs_time_is_known(refusal: dict[str, Any], starting: bool) -> None:
    assert is_starting(Refusal.model_validate(refusal)) is starting


# What it is started with


def test_url_token_and_headers_come_by_environment(tmp_path: Path) -> None:
    env = {GATEWAY_URL: "wss://claw.example/ws?token=t", GATEWAY_TOKEN: "secret", GATEWAY_HEADERS: '{"K": "v"}'}
    setup = parse(env, ["--agent", "worker", "--device", str(tmp_path / "key"), "--at-least-once"])
    assert (setup.address.token.get_secret_value(), setup.address.shown) == ("secret", "wss://claw.example/ws")
    assert setup.address.headers["K"].get_secret_value() == "v"
    assert (setup.agent, setup.at_least_once, setup.address.device) == ("worker", True, tmp_path / "key")
    assert "secret" not in repr(setup)


def test_without_a_url_it_says_which_variable_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse({}, [])
    assert GATEWAY_URL in capsys.readouterr().err


async def test_two_adapters_that_begin_at_once_have_one_device(tmp_path: Path) -> None:
    key = tmp_path / "home" / "key"
    devices = await asyncio.gather(*(asyncio.to_thread(Device.kept_in, key) for _ in range(8)))
    assert len({device.id for device in devices}) == 1
    assert [file.name for file in key.parent.iterdir()] == ["key"]


def test_a_key_of_another_kind_is_no_device(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = tmp_path / "key"
    key.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ExecutorUnusable, match="no Ed25519 key"):
        Device.kept_in(key)
