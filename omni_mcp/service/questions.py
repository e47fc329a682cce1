"""Read and answer what executors ask."""

from collections.abc import Sequence
from datetime import timedelta

from anyio.to_thread import run_sync

from omni_mcp.decide.answering import check_answer
from omni_mcp.errors import ForPeople, QuestionGone
from omni_mcp.question import Answer, Question
from omni_mcp.service.part import Part
from omni_mcp.task import Task
from omni_mcp.views.question import QuestionView, question_view
from omni_mcp.views.task import TaskView, task_view

LOOK = timedelta(seconds=1)
"""Between two looks whether a question is still open, where nothing else is written."""


class QuestionVerbs(Part):
    """What executors ask."""

    async def answer(self, task_id: str, question_id: str, answer: Answer, *, person: bool) -> TaskView:
        """Answer a question of an executor, as a person or for a client. The first answer wins.

        Raises QuestionGone, ForPeople, and BadRequest for what does not fit the question.
        """
        task = await self._find(task_id)
        question = await self._question(task, question_id)
        if question.for_people and not (person and await run_sync(self.origin) is None):
            raise ForPeople(task.id, question.id)
        check_answer(question.asked, answer, limit=self.settings().servers.limits.description_bytes)
        by = "person" if person else "client"
        task = await self.ledger.answer(task.id, question.id, answer=answer, by=by)
        engine = await self._wake(task.id)
        return task_view(task, engine=engine, **await self._told(task))

    async def questions(self, task_id: str) -> Sequence[QuestionView]:
        """Return the open questions of a task, uncut."""
        task = await self._find(task_id)
        return [question_view(each) for each in await self.ledger.questions(task.id) if each.open]

    async def closed(self, task_id: str, question_id: str) -> None:
        """Wait until a question is open no more: answered by somebody, or taken back."""
        while True:
            seen = await self.ledger.watermark()
            if all(each.question_id != question_id for each in await self.questions(task_id)):
                return
            await self.ledger.changed(seen, timeout=LOOK)

    async def _question(self, task: Task, question_id: str) -> Question:
        wanted = question_id.strip().lower()
        found = [each for each in await self.ledger.questions(task.id) if each.id == wanted and each.open]
        if not found:
            raise QuestionGone(task.id, question_id)
        return found[0]
