"""Questions of executors, and their answers."""

from collections.abc import Sequence

from omni_mcp.errors import TransitionRefused
from omni_mcp.ledger import question_statements, questions
from omni_mcp.ledger.rows import a_task, to_json
from omni_mcp.ledger.store import Connection, Row
from omni_mcp.ledger.submission import the_task
from omni_mcp.ledger.verbs.part import Part
from omni_mcp.question import Answer, Asked, Question
from omni_mcp.task import Task


class Asking(Part):
    """Questions of executors."""

    async def answer(self, task_id: str, question_id: str, *, answer: Answer, by: str) -> Task:
        values = self._values(
            id=task_id,
            question_id=question_id,
            number=questions.number_of(question_id),
            action=answer.action,
            content=None if answer.content is None else to_json(answer.content),
            answered_by=by,
        )

        def unit(db: Connection) -> Row:
            questions.answer(db, values)
            return the_task(db, task_id)

        return a_task(await self._write(unit))

    async def ask(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        asked: Asked,
        for_people: bool,
        text: str,
        notice: str,
        channels: Sequence[str] = (),
    ) -> Question:
        values = self._values(
            id=task_id,
            attempt=attempt,
            owner=owner,
            kind=asked.kind,
            question=questions.kept(asked.text),
            schema=to_json(asked.schema),
            same=questions.fingerprint(asked),
            for_people=for_people,
            text=text,
            notice=notice,
        )
        row = await self._write(lambda db: questions.ask(db, values, channels))
        if row is None:
            raise TransitionRefused(task_id, "ask")
        return questions.a_question(row)

    async def take_answer(self, task_id: str, question_id: str, *, attempt: int, owner: str) -> bool:
        number = questions.number_of(question_id)
        values = self._values(id=task_id, number=number, attempt=attempt, owner=owner)
        return await self._write(lambda db: questions.take(db, values))

    async def take_back(self, task_id: str, question_id: str, *, attempt: int, owner: str) -> None:
        number = questions.number_of(question_id)
        values = self._values(id=task_id, number=number, attempt=attempt, owner=owner)
        await self._write(lambda db: questions.take_back(db, values))

    async def questions(self, task_id: str) -> Sequence[Question]:
        rows = await self._read(question_statements.QUESTIONS, {"id": task_id})
        return [questions.a_question(row) for row in rows]
