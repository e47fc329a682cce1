"""What a failed model call means: the table of statuses, and the bodies that say something else than their status."""

import json
from typing import Any

import httpx
import pytest

from omni_mcp.llm.base import ModelError
from omni_mcp.llm.failures import BAD_GATEWAY, answer_error, model_error, transport_error
from omni_mcp.task import FailureClass

COOLDOWN = "No deployments available for selected model, Try again in 5 seconds."


def chat(kind: str | None, message: str, **more: Any) -> dict[str, Any]:
    """Return an error in the words of OpenAI's API."""
    return {"error": {"type": kind, "message": message, **more}}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", **chat(kind, message)}


def meant(status: int, body: Any, **headers: str) -> ModelError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer_error(status, raw, headers, who="the cloud")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureClass.TASK),
        (401, FailureClass.AUTH),
        (402, FailureClass.AUTH),
        (403, FailureClass.AUTH),
        (404, FailureClass.CONFIG),
        (408, FailureClass.PROVIDER),
        (413, FailureClass.TASK),
        (422, FailureClass.TASK),
        (429, FailureClass.RATE_LIMIT),
        (500, FailureClass.PROVIDER),
        (503, FailureClass.PROVIDER),
        (529, FailureClass.PROVIDER),
    ],
)
def test_the_status_says_what_it_means(status: int, kind: FailureClass):
    error = meant(status, chat(None, "no luck"))
    assert (error.status, error.kind, error.message) == (status, kind, "the cloud: no luck")


@pytest.mark.parametrize(
    ("status", "body", "passed_on", "kind"),
    [
        (429, chat("all_deployments_in_cooldown", COOLDOWN), 503, FailureClass.PROVIDER),
        (429, chat("all_deployments_in_cooldown", "rests"), 503, FailureClass.PROVIDER),
        (429, anthropic("rate_limit_error", COOLDOWN), 503, FailureClass.PROVIDER),
        (400, chat("no_db_connection", "No connected db."), 401, FailureClass.AUTH),
        (400, chat("x", "Invalid model name passed in model=a"), 404, FailureClass.CONFIG),
        (400, chat(None, "There are no healthy deployments for this model"), 404, FailureClass.CONFIG),
        (400, anthropic("invalid_request_error", "Your credit balance is too low"), 402, FailureClass.AUTH),
        (429, chat("insufficient_quota", "You exceeded your quota"), 402, FailureClass.AUTH),
    ],
)
def test_some_bodies_say_more_than_their_status(status: int, body: Any, passed_on: int, kind: FailureClass):
    error = meant(status, body)
    assert (error.status, error.kind) == (passed_on, kind)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (anthropic("api_error", "odd"), 502, FailureClass.PROVIDER),
        (anthropic("overloaded_error", "busy"), 529, FailureClass.PROVIDER),
        (anthropic("rate_limit_error", "slow"), 429, FailureClass.RATE_LIMIT),
        (anthropic("rate_limit_error", COOLDOWN), 503, FailureClass.PROVIDER),
        (anthropic("invalid_request_error", "too long"), 400, FailureClass.TASK),
        (anthropic("authentication_error", "who?"), 401, FailureClass.AUTH),
        (chat(None, "no credits", code=402), 402, FailureClass.AUTH),
        (chat(None, "no credits", code="402"), 402, FailureClass.AUTH),
        (chat("auto", "what?", code=7), 502, FailureClass.PROVIDER),
        ({"error": "all is lost"}, 502, FailureClass.PROVIDER),
        ({"type": "error"}, 502, FailureClass.PROVIDER),
    ],
)
def test_an_error_under_a_good_status_is_one(body: Any, status: int, kind: FailureClass):
    error = meant(200, body)
    assert (error.status, error.kind) == (status, kind)


@pytest.mark.parametrize("raw", [b"", b"<html>nginx</html>", b"\xff\xfe\x00", b"[1]", b'{"detail": "Not Found"}', b"{"])
@pytest.mark.parametrize("status", [200, 307, 400, 404, 500])
def test_an_answer_of_no_model_api_is_never_the_tasks_fault(status: int, raw: bytes):
    error = meant(status, raw)
    assert (error.status, error.kind) == (500 if status == 500 else 502, FailureClass.PROVIDER)
    assert f"the cloud answered HTTP {status} as no model API does" in error.message


@pytest.mark.parametrize(("status", "kind"), [(401, FailureClass.AUTH), (429, FailureClass.RATE_LIMIT)])
def test_a_refusal_without_words_is_still_one(status: int, kind: FailureClass):
    error = meant(status, b"no")
    assert (error.status, error.kind) == (status, kind)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", None)])
def test_a_limit_says_when_it_ends(said: str, seconds: float | None):
    assert meant(429, chat(None, "slow"), **{"retry-after": said}).retry_after == seconds


def test_a_message_is_one_line_not_too_long_and_without_a_key():
    error = meant(401, chat(None, f"bad key sk-ant-abcdef99 {'x' * 1000}\nTraceback ..."))
    assert "sk-ant-abcdef99" not in error.message
    assert "Traceback" not in error.message
    assert len(error.message) < 600


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (httpx.ConnectError("refused"), 503, "the cloud cannot be reached (refused)"),
        (httpx.ConnectTimeout(""), 503, "the cloud cannot be reached (ConnectTimeout)"),
        (httpx.ReadTimeout(""), 504, "the cloud gave no answer in time"),
        (TimeoutError(), 504, "the cloud gave no answer in time"),
        (httpx.RemoteProtocolError("hung up"), 503, "the cloud broke off: hung up"),
        (httpx.ReadError(""), 503, "the cloud broke off: ReadError"),
    ],
)
def test_a_request_without_an_answer_is_the_providers_trouble(raised: Exception, status: int, words: str):
    error = transport_error(raised, who="the cloud")
    assert (error.status, error.kind, error.message) == (status, FailureClass.PROVIDER, words)


class LitellmError(Exception):
    """As litellm's, whose class names are of no use."""

    status_code = 400


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ("litellm.BadRequestError: messages must not be empty", 400, FailureClass.TASK),
        ("litellm.BadRequestError: AnthropicException - Your credit balance is too low", 402, FailureClass.AUTH),
        ("litellm.BadRequestError: There are no healthy deployments for this model", 404, FailureClass.CONFIG),
    ],
)
def test_an_exception_of_litellm_is_read_by_the_same_table(said: str, status: int, kind: FailureClass):
    error = model_error(LitellmError(said))
    assert (error.status, error.kind) == (status, kind)


def test_an_answer_that_is_nested_too_deeply_is_none_that_a_model_api_gives():
    error = answer_error(200, b"[" * 50_000, {}, who="the cloud")
    assert (error.status, error.broken) == (BAD_GATEWAY, False)
