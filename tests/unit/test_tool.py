"""What goes into a foreign tool and what comes out of it, and how a run's end in the contract's words is read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, ImageContent, TextContent

from omni_mcp.contract import RunRequest, RunResult, RunUsage
from omni_mcp.executors import adapter
from omni_mcp.executors.tool import filled, outcome_of
from omni_mcp.executors.troubles import failure_of, is_clear, words_of
from omni_mcp.pointer import NotThere, at
from omni_mcp.task import Completed, Failed, FailureClass, Used

REQUEST = RunRequest(task_id="t1", attempt=2, run_id="r", description="say {task_id}", cwd="/home/me/code")


def an_answer(*texts: str, structured: Any = None, is_error: bool = False) -> CallToolResult:
    content: list[Any] = [TextContent(type="text", text=text) for text in texts]
    return CallToolResult(content=content, structured_content=structured, is_error=is_error)


def test_a_template_is_filled_in_strings_at_any_depth() -> None:
    template = {"a": "{description}", "b": ["{attempt}/{cwd}", {"c": "{task_id}"}], "n": 5, "m": "<{model}>"}
    assert filled(template, REQUEST) == {
        "a": "say {task_id}",
        "b": ["2//home/me/code", {"c": "t1"}],
        "n": 5,
        "m": "<>",
    }


def test_other_braces_stay_as_they_are() -> None:
    text = '{"json": {}} {unknown} ${VAR} {{task_id}}'
    assert filled({"a": text}, REQUEST)["a"] == '{"json": {}} {unknown} ${VAR} {t1}'


def test_text_is_taken_whole_and_what_is_no_text_is_named() -> None:
    answer = an_answer("one", "two", structured={"n": 1})
    answer.content.append(ImageContent(type="image", data="", mime_type="image/png"))
    assert outcome_of(answer, "text", tool="x") == Completed(text="one\ntwo\n[image]", structured={"n": 1})


def test_the_structured_result_is_taken_as_data_and_as_text() -> None:
    outcome = outcome_of(an_answer(structured={"答": 1}), "structured", tool="x")
    assert outcome == Completed(text='{\n  "答": 1\n}', structured={"答": 1})


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("/a/b/1", "y"), ("/a/b", ["x", "y"]), ("/s~1l~0t", 3), ("/", "empty key"), ("", None)],
)
def test_a_json_pointer_finds_its_place(pointer: str, found: Any) -> None:
    document = {"a": {"b": ["x", "y"]}, "s/l~t": 3, "": "empty key"}
    assert at(pointer, document) == (found if pointer else document)


@pytest.mark.parametrize("pointer", ["/no", "/a/2", "/a/-1", "/a/x", "/t/0", "/n/deeper"])
def test_a_json_pointer_into_nothing_is_an_error(pointer: str) -> None:
    with pytest.raises(NotThere):
        at(pointer, {"a": [1, 2], "t": "text", "n": None})


def test_a_pointed_result_is_taken_and_a_missing_one_fails_the_task() -> None:
    answer = an_answer(structured={"answer": "42"})
    assert outcome_of(answer, "/answer", tool="x") == Completed(text="42", structured="42")
    missing = outcome_of(answer, "/question", tool="x")
    assert isinstance(missing, Failed)
    assert missing.kind is FailureClass.TASK
    assert "/question" in missing.message


def test_a_result_that_is_not_structured_fails_the_task_that_asks_for_one() -> None:
    outcome = outcome_of(an_answer("text"), "structured", tool="x.y")
    assert isinstance(outcome, Failed)
    assert "x.y gave no structured result" in outcome.message


@pytest.mark.parametrize(("texts", "said"), [(["boom"], "boom"), ([], "x reported an error without a word")])
def test_an_error_of_the_tool_fails_the_task_in_its_own_words(texts: list[str], said: str) -> None:
    outcome = outcome_of(an_answer(*texts, is_error=True), "text", tool="x")
    assert outcome == Failed(kind=FailureClass.TASK, message=said)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), FailureClass.TASK),
        (MCPError(-32602, "no such argument"), FailureClass.TASK),
        (MCPError(-32603, "internal"), FailureClass.UNKNOWN),
        (RuntimeError("Invalid structured content"), FailureClass.TASK),
        (OSError("odd"), FailureClass.UNKNOWN),
    ],
)
def test_what_a_living_server_did_wrong_is_classified(error: Exception, kind: FailureClass) -> None:
    assert failure_of(error, tool="x.y", timeout=5).kind is kind


@pytest.mark.parametrize(("code", "clear"), [(-32050, True), (-32602, True), (-32000, False), (-32600, False)])
def test_only_an_error_that_the_server_must_have_said_proves_that_it_lives(code: int, clear: bool) -> None:
    assert is_clear(MCPError(code, "x")) is clear


def test_an_error_is_told_with_its_innermost_cause_in_one_line() -> None:
    error = RuntimeError("Client failed to connect")
    error.__cause__ = ExceptionGroup("many", [OSError("refused\n by peer")])
    assert words_of(error) == "Client failed to connect: refused by peer"
    assert words_of(TimeoutError()) == "TimeoutError"


def test_a_completed_run_keeps_what_the_executor_noted_and_used() -> None:
    result = RunResult(status="completed", text="ok", notes={"turns": 3}, usage=RunUsage(cost_usd=0.5))
    notes = {"turns": 3, "usage": {"cost_usd": 0.5}}
    expected = Completed(text="ok", notes=notes, used=Used(cost_usd=0.5))
    assert adapter.outcome_of(result) == expected


def test_a_failed_run_that_names_no_class_fails_closed() -> None:
    outcome = adapter.outcome_of(RunResult(status="failed"))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureClass.UNKNOWN


def test_a_time_without_a_zone_is_utc() -> None:
    result = RunResult(status="failed", retry_at=datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    outcome = adapter.outcome_of(result)
    assert isinstance(outcome, Failed)
    assert outcome.retry_at == datetime(2030, 1, 1, tzinfo=UTC)
