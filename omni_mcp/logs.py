"""Logs: lines of text, or one JSON object a line for those who collect them; always on stderr, stdout belongs to MCP.

The fields of a line in JSON: `time` (UTC, ISO 8601), `level`, `logger`, `message`, `pid`, and where there is one
`action` (a word for what happened), `task_id`, `attempt`, `trace_id` and `span_id` (hex, as W3C Trace Context writes
them, https://www.w3.org/TR/trace-context/), `error` (a traceback).
"""

import json
import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from opentelemetry import trace

Style = Literal["text", "json"]

VARIABLE = "OMNI_LOG"
"""The environment's word on how logs are written, before that of the settings."""
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
NAMED = ("action", "task_id", "attempt")
"""What a line may name besides its message: `extra` of the call, else what it was written within."""
URLS = ("httpx", "httpx2")
"""Loggers that write whole URLs; and a URL may carry a key."""

_within: ContextVar[Mapping[str, Any]] = ContextVar("_within", default={})  # noqa: B039 - never changed in place


@contextmanager
def within(**named: Any) -> Generator[None]:
    """Have each line that the body writes, and what it starts, name these (`task_id`, `attempt`)."""
    token = _within.set({**_within.get(), **named})
    try:
        yield
    finally:
        _within.reset(token)


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        named = {**_within.get(), **vars(record)}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: named[name] for name in NAMED if name in named},
            **_place(),
            "pid": record.process,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _place() -> Mapping[str, str]:
    """Return where in a trace the line is written, if in any."""
    here = trace.get_current_span().get_span_context()
    return {"trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}"} if here.is_valid else {}


def style_of(settings: Style) -> Style:
    """Return how logs are written: as OMNI_LOG says, else as the settings do. An unknown word is text."""
    said = os.environ.get(VARIABLE, settings)
    return "json" if said == "json" else "text"


def write_logs(style: Style, *, level: int) -> None:
    """Write what is logged from now on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in URLS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("mcp.client.stdio").setLevel(logging.CRITICAL)  # a traceback for each line that is not JSON
    if style == "json":
        _gather("fastmcp")


def _gather(name: str) -> None:
    """Take a logger's own handlers away, so that its lines are ours."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True
