"""The words of a question: what an executor may ask in the middle of a task, and what may be answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class QuestionKind(StrEnum):
    """What an answer decides."""

    PERMISSION = "permission"
    """Whether the executor may do something; only a person says so, unless its row has `approvals: client`."""
    INPUT = "input"
    """What the executor does not know; whoever handed the task off may tell it."""


class Action(StrEnum):
    """What becomes of a question (MCP elicitation's three words)."""

    ACCEPT = "accept"
    """Yes, or: here is what you asked for."""
    DECLINE = "decline"
    """No."""
    CANCEL = "cancel"
    """Nobody decided: the executor goes on as if it could not ask."""


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said to a question."""

    action: Action
    content: Mapping[str, Any] | None = None
    """The fields of the question's schema; with a `decline` at most `message`, which the executor is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an executor asks."""

    kind: QuestionKind
    text: str
    """Words of the executor: shown as data, never obeyed."""
    schema: Mapping[str, Any] = field(default_factory=_nothing)
    """JSON schema of the answer's content: an object of plain fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as the ledger has it."""

    id: str
    """`q1`, `q2`, …: counted for each task, never used again."""
    asked: Asked
    for_people: bool
    """Only a person may answer it."""
    asked_at: datetime
    answer: Answer | None = None
    taken: bool = False
    """Whether a run has the answer."""
    gone_at: datetime | None = None
    """When it was taken back unanswered."""

    @property
    def open(self) -> bool:
        """Whether it waits for an answer."""
        return self.answer is None and self.gone_at is None
