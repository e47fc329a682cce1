"""What the events of a gateway tell of a run: lines for people, and why its model calls fail. Pure.

Events may be missing, late or out of order, so no outcome rests on them alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_mcp.adapters.openclaw_refusal import mapping
from omni_mcp.task import FailureClass

TAIL = 80
"""Characters of the newest text in a line of progress."""
PATIENCE = 3
"""Retries of a model call after which we do not wait for the rest: OpenClaw would try for 60 to 140 s."""

BY_REASON: Mapping[str, FailureClass] = {
    "server_error": FailureClass.PROVIDER,
    "timeout": FailureClass.PROVIDER,
    "overloaded": FailureClass.PROVIDER,
    "tls_certificate": FailureClass.PROVIDER,
    "empty_response": FailureClass.PROVIDER,
    "rate_limit": FailureClass.RATE_LIMIT,
    "auth": FailureClass.AUTH,
    "auth_permanent": FailureClass.AUTH,
    "billing": FailureClass.AUTH,
    "model_not_found": FailureClass.CONFIG,
    "format": FailureClass.TASK,
    "context_overflow": FailureClass.TASK,
}
"""What OpenClaw's reasons for turning away from a model mean; it has others, which say nothing."""

HOPELESS = frozenset({FailureClass.PROVIDER, FailureClass.RATE_LIMIT})
"""What more retries within one run are not waited for."""


@dataclass(slots=True)
class Signs:
    """What was heard of a run so far."""

    runs: set[str] = field(default_factory=set[str])
    """The run ids under which it goes; others of the same gateway are not ours."""
    reason: str | None = None
    """Why its last model call failed."""
    retries: int = 0
    """How often the model call that goes on now was tried again."""
    said: str = ""
    """The answer so far."""
    _last: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def hopeless(self) -> FailureClass | None:
        """What ends the run early: its provider answers nothing, again and again."""
        kind = BY_REASON.get(self.reason or "")
        return kind if self.retries >= PATIENCE and kind in HOPELESS else None

    def take(self, event: str, payload: Mapping[str, Any]) -> str | None:
        """Take an event in, and return a line for people if it is worth one."""
        run = str(payload.get("runId") or "")
        if event != "agent" or run not in self.runs or self._is_late(run, payload.get("seq")):
            return None
        data = mapping(payload.get("data"))
        match payload.get("stream"):
            case "lifecycle":
                return self._lifecycle(data)
            case "run_status":
                return self._retry(data)
            case "assistant":
                return self._answer(data)
            case "tool":
                return _tool(data)
            case _:
                return None

    def _is_late(self, run: str, number: Any) -> bool:
        """Whether a newer event of the run came before this one."""
        if not isinstance(number, int):
            return False
        late = number <= self._last.get(run, 0)
        self._last[run] = max(number, self._last.get(run, 0))
        return late

    def _lifecycle(self, data: Mapping[str, Any]) -> str | None:
        self.reason = mapping(data.get("errorObservation")).get("failoverReason") or self.reason
        if data.get("phase") == "model" and data.get("model"):
            return f"asks {data.get('provider')}/{data['model']}"
        return None

    def _retry(self, data: Mapping[str, Any]) -> str | None:
        if data.get("phase") != "retrying":
            return None
        tried = data.get("retryAttempt")
        self.retries = max(self.retries, tried) if isinstance(tried, int) else self.retries
        self.reason = data.get("reason") or self.reason
        return f"its model does not answer ({self.reason}): try {self.retries} of {data.get('maxRetries')}"

    def _answer(self, data: Mapping[str, Any]) -> str | None:
        """A model that answers has ended its retries."""
        text = str(data.get("text") or "")
        if not text:
            return None
        self.said, self.reason, self.retries = text, None, 0
        return f"{len(text)} characters: {' '.join(text[-TAIL:].split())}"


def _tool(data: Mapping[str, Any]) -> str | None:
    name, phase = data.get("name"), data.get("phase")
    if phase == "start":
        return f"{name}"
    return f"{name} failed" if phase == "result" and data.get("isError") else None
