"""Judge the end of a run at an OpenClaw gateway. Pure: its row, its transcript and what was heard in, a result out.

By status, stop reason and failover reason, never by message text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from omni_mcp.adapters.openclaw_events import BY_REASON, Signs
from omni_mcp.adapters.openclaw_refusal import Loose, mapping
from omni_mcp.contract import RunResult, RunUsage, failed
from omni_mcp.task import FailureClass

End = Literal["completed", "failed", "cancelled", "timed_out"]
"""How a run is over, in the words of the gateway's task ledger."""

FIXES: Mapping[FailureClass, str] = {
    FailureClass.AUTH: "mend the key of its model provider in OpenClaw: `openclaw models auth login`, or openclaw.json",
    FailureClass.CONFIG: "submit with a model that `openclaw models list` shows, or mend `model` of its row",
}
UNFINISHED = frozenset({"toolUse", "error", "aborted"})
"""Stop reasons of a message after which something was still to come."""
NEVER_BEGAN = "run-failed-before-reply"
"""What a transcript says of a run that ended before its model was asked, as while a refused key is locked."""
RAISE_FIX = "raise `timeout` of its row in servers.yaml"


class Message(BaseModel):
    """A message of a transcript."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: str = ""
    kind: str | None = Field(default=None, validation_alias="customType")
    content: str | tuple[Any, ...] | None = None
    provider: str | None = None
    model: str | None = None
    stop_reason: str | None = Field(default=None, validation_alias="stopReason")
    usage: Loose = Field(default_factory=dict[str, Any])
    mark: Loose = Field(default_factory=dict[str, Any], validation_alias="__openclaw")

    @property
    def text(self) -> str:
        """What it says, without thoughts and tool calls."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part["text"] for part in self.parts if part.get("type") == "text" and part.get("text")).strip()

    @property
    def parts(self) -> Sequence[Mapping[str, Any]]:
        """What it is made of."""
        return [mapping(part) for part in self.content] if isinstance(self.content, tuple) else []

    @property
    def is_final(self) -> bool:
        """Whether the model had nothing more to do after it."""
        return self.role == "assistant" and bool(self.text) and self.stop_reason not in UNFINISHED


class Transcript(BaseModel):
    """What `chat.history` shows of one session, or of several that belong together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: tuple[Message, ...] = ()

    @property
    def answers(self) -> Sequence[Message]:
        """What the model said."""
        return [message for message in self.messages if message.role == "assistant"]

    @property
    def is_over(self) -> bool:
        """Whether the last word is that of a model which had nothing more to do."""
        return bool(self.messages) and self.messages[-1].is_final

    def answer_of(self, run_id: str) -> str:
        """Return the last words of a run; older gateways do not say which run a message belongs to."""
        said = [answer for answer in self.answers if answer.text and answer.stop_reason != "error"]
        ours = [answer for answer in said if answer.mark.get("runId", run_id) == run_id]
        return ours[-1].text if ours else ""

    @property
    def usage(self) -> RunUsage | None:
        """What all of it used; None: nothing is known."""
        used = [answer for answer in self.answers if answer.usage]
        if not used:
            return None
        costs = [mapping(answer.usage.get("cost")).get("total") for answer in used]
        known = [cost for cost in costs if isinstance(cost, (int, float))]
        sent = ("input", "cacheRead", "cacheWrite")
        return RunUsage(
            model=_model(used[-1]),
            input_tokens=sum(_number(answer.usage.get(key)) for answer in used for key in sent),
            output_tokens=sum(_number(answer.usage.get("output")) for answer in used),
            cost_usd=sum(known) if len(known) == len(used) else None,
        )


def conclude(
    end: End, *, run_id: str, error: str | None, transcript: Transcript, signs: Signs, notes: Mapping[str, Any]
) -> RunResult:
    """Say what a run came to. `error` is shown, not judged."""
    text = transcript.answer_of(run_id)
    rest: dict[str, Any] = {"usage": transcript.usage, "notes": {**notes, "model": _used(transcript)}}
    if end == "completed":
        return _completed(text, **rest)
    if end == "cancelled":
        return failed(FailureClass.CANCELLED, _said("stopped", error), text=text or signs.said, **rest)
    if end == "timed_out":
        message = _said("OpenClaw ended it at its time limit", error)
        return failed(FailureClass.TASK, message, fix=RAISE_FIX, text=text or signs.said, **rest)
    kind = _kind(transcript, signs)
    message = _said(f"OpenClaw gave up ({signs.reason or 'no reason heard'})", error)
    return failed(kind, message, fix=FIXES.get(kind), text=text or signs.said, **rest)


def _kind(transcript: Transcript, signs: Signs) -> FailureClass:
    """Say why a run failed; where no event told it, the transcript says at least in which part it ended."""
    if (told := BY_REASON.get(signs.reason or "")) is not None:
        return told
    last = transcript.messages[-1] if transcript.messages else Message()
    if last.kind == NEVER_BEGAN:
        return FailureClass.CONFIG
    return FailureClass.PROVIDER if last.stop_reason == "error" else FailureClass.UNKNOWN


def _completed(text: str, **rest: Any) -> RunResult:
    """A run may end without a word (its agent only used tools, or was told to be silent): that is said."""
    return RunResult(status="completed", text=text or "(OpenClaw ended the task without a word)", **rest)


def _said(what: str, error: str | None) -> str:
    return f"{what}: {error}" if error else what


def _used(transcript: Transcript) -> str | None:
    return _model(transcript.answers[-1]) if transcript.answers else None


def _model(answer: Message) -> str | None:
    return "/".join(part for part in (answer.provider, answer.model) if part) or None


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
