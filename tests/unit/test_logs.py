"""Logs as JSON: one object a line, with what it is about; as text they stay lines for people."""

import io
import json
import logging
from collections.abc import Generator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from omni_mcp.logs import VARIABLE, JsonLines, style_of, within


@pytest.fixture
def written() -> Generator[Iterator[dict[str, object]]]:
    """Yield what a logger of its own writes, line by line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("omni_mcp.test_logs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield (json.loads(line) for _ in iter(int, 1) for line in _taken(stream))
    logger.removeHandler(handler)


def _taken(stream: io.StringIO) -> list[str]:
    lines = stream.getvalue().splitlines()
    stream.seek(0)
    stream.truncate()
    return lines


logger = logging.getLogger("omni_mcp.test_logs")


def test_a_line_says_what_it_is_about_and_stays_one_line(written: Iterator[dict[str, object]]) -> None:
    logger.warning("two\nlines 行 %s", "x", extra={"action": "told", "task_id": "t1"})
    line = next(written)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "omni_mcp.test_logs", "two\nlines 行 x")
    assert (line["action"], line["task_id"]) == ("told", "t1")
    assert str(line["time"]).endswith("+00:00")
    assert not {"attempt", "trace_id", "error"} & line.keys()


def test_what_runs_within_an_attempt_names_it_and_its_trace(written: Iterator[dict[str, object]]) -> None:
    span = NonRecordingSpan(SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=TraceFlags(1)))
    with within(task_id="t1", attempt=2), trace.use_span(span):  # pylint: disable=not-context-manager
        logger.info("inside")
    logger.info("outside")
    inside, outside = next(written), next(written)
    assert (inside["task_id"], inside["attempt"]) == ("t1", 2)
    assert (inside["trace_id"], inside["span_id"]) == ("ab".rjust(32, "0"), "cd".rjust(16, "0"))
    assert not {"task_id", "attempt", "trace_id"} & outside.keys()


def test_an_error_is_in_its_own_field(written: Iterator[dict[str, object]]) -> None:
    try:
        int("boom")
    except ValueError:
        logger.exception("it broke")
    line = next(written)
    assert line["message"] == "it broke"
    assert "ValueError: invalid literal" in str(line["error"])


@pytest.mark.parametrize(
    ("variable", "settings", "style"),
    [("json", "text", "json"), ("text", "json", "text"), (None, "json", "json"), ("xml", "text", "text")],
)
def test_the_environment_goes_before_the_settings(
    variable: str | None, settings: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    assert style_of(settings) == style  # type: ignore[arg-type]
