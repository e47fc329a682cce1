"""The questions of one attempt: into the ledger, which people and clients see, and back with what they said."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import anyio

from omni_mcp.errors import TransitionRefused
from omni_mcp.ledger.base import Ledger
from omni_mcp.presets import ExecutorSpec
from omni_mcp.question import Action, Answer, Asked, Question, QuestionKind
from omni_mcp.settle import until_written
from omni_mcp.task import SHORT_ID, Task

logger = logging.getLogger(__name__)

LOOK = timedelta(seconds=1)
"""Between two looks for an answer where nothing else is written."""
HEADLINE = 200
"""Characters of a question in the task's own line."""
NOBODY = Answer(action=Action.CANCEL)
"""What an executor is told that cannot be answered."""


@dataclass(kw_only=True, eq=False)
class Asking:
    """Takes what the executor of an attempt asks. Satisfies `executor.OnQuestion`."""

    task: Task
    spec: ExecutorSpec
    ledger: Ledger
    owner: str
    channels: Callable[[], Sequence[str]]
    """Who is told that somebody has to answer."""
    over: bool = False
    """The run is being ended: what is open is settled with its task."""
    open: set[str] = field(default_factory=set[str])
    """Questions that wait for an answer."""

    async def __call__(self, asked: Asked) -> Answer:
        """Return what was answered; a question that its executor takes back is nobody's any more."""
        if self.spec.row.approvals == "none":
            return await self._declined(asked)
        try:
            question = await until_written(partial(self._written, asked))
        except TransitionRefused:
            return NOBODY
        if question.answer is not None:
            return question.answer
        self.open.add(question.id)
        try:
            return await self._answer(question.id)
        finally:
            if question.id in self.open:
                await self._take_back(question.id)

    async def _declined(self, asked: Asked) -> Answer:
        text = f"asked, and approvals: none declines: {headline(asked.text)}"
        await until_written(partial(self.ledger.note, self.task.id, attempt=self.task.attempt, kind="note", text=text))
        return Answer(action=Action.DECLINE, content={"message": "nobody is asked here (approvals: none)"})

    async def _written(self, asked: Asked) -> Question:
        name, short = self.spec.name, self.task.id[:SHORT_ID]
        line, permission = headline(asked.text), asked.kind is QuestionKind.PERMISSION
        return await self.ledger.ask(
            self.task.id,
            attempt=self.task.attempt,
            owner=self.owner,
            asked=asked,
            for_people=permission and self.spec.row.approvals != "client",
            text=f"{name} asks for permission: {line}" if permission else f"{name} asks: {line}",
            notice=f"task {short} waits for an answer to {name}. Give it with omni-mcp answer {short}",
            channels=self.channels(),
        )

    async def _answer(self, question_id: str) -> Answer:
        """Wait for the answer. It is noted as taken before the executor has it: an approval is for one run only."""
        while True:
            seen = await until_written(self.ledger.watermark)
            question = await until_written(partial(self._read, question_id))
            if not question.open:
                self.open.discard(question_id)
                return await self._taken(question)
            await self.ledger.changed(seen, timeout=LOOK)

    async def _read(self, question_id: str) -> Question:
        return next(each for each in await self.ledger.questions(self.task.id) if each.id == question_id)

    async def _taken(self, question: Question) -> Answer:
        if question.answer is None:
            return NOBODY
        take = partial(self.ledger.take_answer, self.task.id, question.id, attempt=self.task.attempt, owner=self.owner)
        return question.answer if await until_written(take) else NOBODY

    async def _take_back(self, question_id: str) -> None:
        self.open.discard(question_id)
        if self.over:
            return
        logger.info("%s takes %s back", self.spec.name, question_id, extra={"task_id": self.task.id})
        with anyio.CancelScope(shield=True):
            await until_written(
                partial(self.ledger.take_back, self.task.id, question_id, attempt=self.task.attempt, owner=self.owner)
            )


def headline(text: str) -> str:
    """Return the first line of a question, or what of it there is room for."""
    line = " ".join(text.strip().partition("\n")[0][: HEADLINE * 4].split())
    return line if len(line) <= HEADLINE else f"{line[: HEADLINE - 1]}…"
