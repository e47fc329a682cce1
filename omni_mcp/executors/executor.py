"""The executor port: run one attempt, stop one, say how it is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from omni_mcp.contract import CancelResult, Health, RunRef, RunRequest
from omni_mcp.question import Answer, Asked
from omni_mcp.task import Outcome

OnProgress = Callable[[str], None]
"""Takes a line for people; called in order, must not block."""

OnQuestion = Callable[[Asked], Awaitable[Answer]]
"""Takes what the executor asks in the middle of the run, and returns what was answered, however long that takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """A tool that an executor offers."""

    name: str
    description: str


class Executor(Protocol):
    """An MCP server that can run a task.

    `run` returns an outcome for everything that the other side said, also for its failures, and raises
    `ExecutorUnusable` (nothing was sent) or `ExecutorLost` (outcome unknown) for what it did not say.
    """

    name: str

    async def run(self, request: RunRequest, on_progress: OnProgress, on_question: OnQuestion | None = None) -> Outcome:
        """Run one attempt to its end. Cancelling this call tells the other side to stop.

        Without `on_question` the other side is told that nobody answers.
        """
        ...

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run and everything that it started."""
        ...

    async def health(self) -> Health:
        """Open the session if it is not open and ask."""
        ...

    async def tools(self) -> Sequence[ToolInfo]:
        """List what the other side offers."""
        ...
