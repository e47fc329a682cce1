"""Read what `claude -p --output-format stream-json` prints: lines for people, and what the end is judged by.

Pure: bytes in, words out. Anything that is not an event we know is skipped, since the format is the vendor's and grows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LINE_CHARS = 160
"""A line for people is cut after so many characters."""

_TELLING = ("file_path", "notebook_path", "command", "pattern", "path", "url", "query", "description", "prompt")
"""Of a tool's input, the first of these says what it is about."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Block(_Wire):
    """A piece of an assistant's message: text or a tool call."""

    type: str = ""
    text: str = ""
    name: str = ""
    input: Mapping[str, Any] = Field(default_factory=dict)


class Message(_Wire):
    """What the assistant (or a tool, as `user`) said."""

    content: Sequence[Block] | str = ()


class RateLimit(_Wire):
    """The usage limit of a subscription."""

    status: str = ""
    resets_at: float | None = Field(default=None, alias="resetsAt")
    """Seconds since 1970."""


class Piece(_Wire):
    """What the model's API said just now, passed on with `--include-partial-messages`."""

    type: str = ""


class Denial(_Wire):
    """A tool call that the permissions did not allow."""

    tool_name: str = ""
    tool_input: Mapping[str, Any] = Field(default_factory=dict)


class Event(_Wire):
    """One line of the stream; which fields are set depends on `type` and `subtype`."""

    type: str
    subtype: str | None = None
    status: Any = None
    event: Piece | Any = None
    session_id: str | None = None
    model: str | None = None
    message: Message | Any = None
    parent_tool_use_id: str | None = None
    error: Any = None
    tool_name: str | None = None
    elapsed_time_seconds: float | None = None
    attempt: int | None = None
    max_retries: int | None = None
    retry_delay_ms: float | None = None
    error_status: int | None = None
    original_model: str | None = None
    fallback_model: str | None = None
    rate_limit_info: RateLimit | None = None
    is_error: bool = False
    terminal_reason: str | None = None
    api_error_status: int | None = None
    result: str | None = None
    errors: Sequence[Any] = ()
    num_turns: int | None = None
    permission_denials: Sequence[Denial] = ()
    usage: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def blocks(self) -> Sequence[Block]:
        """The pieces of its message; none if it has no message made of pieces."""
        content = self.message.content if isinstance(self.message, Message) else ()
        return () if isinstance(content, str) else content


@dataclass(slots=True, kw_only=True)
class Transcript:
    """What a run has said so far."""

    began: Event | None = None
    """The `init` event, which names session and model."""
    said: str = ""
    """The newest words of the agent itself, not of its sub-agents."""
    trouble: str | None = None
    """The vendor's word for the last refused model call (`authentication_failed`, `server_error`)."""
    resets_at: datetime | None = None
    """When the usage limit ends that was hit."""
    api_retries: int = 0
    retry: Event | None = None
    """The retry of a failed model call that comes next, until the model answers."""
    asking: bool = False
    """Whether a model call of the agent itself is open; only known with `--include-partial-messages`."""
    ignored: int = 0
    """Lines that were no event."""
    result: Event | None = None
    """The last event of a run that came to its own end."""

    def take(self, line: bytes) -> Sequence[str]:
        """Note one line of the stream and return what to tell people of it."""
        try:
            event = Event.model_validate_json(line)
        except ValidationError:
            self.ignored += 1
            return ()
        self._note(event)
        return told(event)

    def _note(self, event: Event) -> None:
        match event.type, event.subtype:
            case "system", "init":
                self.began = event
            case "system", "api_retry":
                self.api_retries += 1
                self.retry = event
            case "system", "status":
                self.asking = event.status == "requesting"
            case "stream_event", _ if event.parent_tool_use_id is None:
                self.retry = None
                self.asking = isinstance(event.event, Piece) and event.event.type != "message_stop"
            case "assistant", _:
                self.retry = None
                self._note_words(event)
            case "rate_limit_event", _:
                self._note_limit(event.rate_limit_info or RateLimit())
            case "result", _:
                self.asking = False
                self.result = event
            case _:
                pass

    def _note_words(self, event: Event) -> None:
        if isinstance(event.error, str):
            self.trouble = event.error
        elif event.parent_tool_use_id is None:
            self.said = "\n".join(block.text for block in event.blocks if block.text) or self.said

    def _note_limit(self, limit: RateLimit) -> None:
        if limit.status == "rejected" and limit.resets_at is not None:
            self.resets_at = datetime.fromtimestamp(limit.resets_at, UTC)


def told(event: Event) -> Sequence[str]:
    """Return what a person would want to see of an event; most events say nothing."""
    match event.type:
        case "assistant":
            who = "" if event.parent_tool_use_id is None else "sub-agent: "
            return [who + line for block in event.blocks if (line := _line(block))]
        case "tool_progress":
            return [f"{event.tool_name}: running for {event.elapsed_time_seconds or 0:.0f} s"]
        case "system":
            return [line] if (line := _system_line(event)) else ()
        case _:
            return ()


def call_in_words(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return `Bash: make test`: a tool and what it is about, on one line."""
    about = next((str(arguments[key]) for key in _TELLING if arguments.get(key)), "")
    return shorten(f"{tool}: {about}" if about else tool)


def shorten(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARS else f"{line[: LINE_CHARS - 1]}…"


def _system_line(event: Event) -> str | None:
    match event.subtype:
        case "init":
            return f"session started with {event.model}"
        case "api_retry":
            reason = event.error_status or event.error or "no answer"
            return f"model call failed ({reason}), retry {event.attempt} of {event.max_retries}"
        case "model_fallback":
            return f"{event.original_model} does not answer, going on with {event.fallback_model}"
        case "permission_denied":
            return f"denied: {event.tool_name}"
        case _:
            return None


def _line(block: Block) -> str:
    return call_in_words(block.name, block.input) if block.type == "tool_use" else shorten(block.text)
