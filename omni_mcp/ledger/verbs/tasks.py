"""The moves of a task, from submit to its end: each is one guarded write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from omni_mcp.excerpt import excerpt
from omni_mcp.ledger import memories, question_statements
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import LEASE, Remembered, Submitted
from omni_mcp.ledger.dependants import is_over
from omni_mcp.ledger.overdue import fail_overdue
from omni_mcp.ledger.rows import MICROSECOND, TITLE, a_task, maybe_moment, maybe_stamp, moment, stamp, to_json
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.ledger.submission import submit, the_task
from omni_mcp.ledger.verbs.part import Part, held, moved, submitted, whole
from omni_mcp.task import Choice, Completed, FailureClass, Outcome, Task, TaskSpec, TaskState, WaitingFor

TEXT = 2000
"""Characters of an error that a task shows; the whole of it is in its result."""


class Tasks(Part):
    """The moves of a task."""

    async def submit(self, spec: TaskSpec, *, task_id: str, choice: Choice | None) -> Submitted:
        values = self._new(spec, task_id, choice)
        return submitted(*await self._write(lambda db: submit(db, values, spec.after)))

    async def request_cancel(self, task_id: str, *, reason: str | None, lives: bool = False) -> Task:
        text = f"cancelled: {reason}" if reason else "cancelled"
        end = {"result": text, "structured": None, "notes": None, "error": FailureClass.CANCELLED}
        values = self._values(id=task_id, text=text, **end)

        def unit(db: Connection) -> Row:
            told = db.execute(sql.CANCEL_LIVING, values).fetchone() if lives else None
            if told is None and (free := db.execute(sql.CANCEL_FREE, values).fetchone()) is not None:
                db.execute(sql.NEW_RESULT, {**values, "n": free["n"]})
                is_over(db, task_id, TaskState.CANCELLED, values["now"])
            elif (told := told or db.execute(sql.CANCEL_HELD, values).fetchone()) is not None:
                wish = {**values, "kind": "note", "text": f"asked to be {text}", "data": None}
                db.execute(sql.NOTE, {**wish, "attempt": told["attempt"]})
            return the_task(db, task_id)

        return a_task(await self._write(unit))

    async def resume(self, task_id: str, *, consent: bool, add_budget_usd: float | None = None) -> None:
        values = self._values(id=task_id, consent=consent, add=add_budget_usd)
        raised = () if add_budget_usd is None else (sql.RAISE_BUDGET,)
        await self._move("resume", sql.RESUME, values, *raised, sql.AWAIT_NEEDS, sql.FORGET_TROUBLES)

    async def begin(
        self, task_id: str, *, owner: str, lease: timedelta = LEASE, claimed: Task | None = None
    ) -> Task | None:
        until = stamp(self._clock.now() + lease)
        known = None if claimed is None else claimed.attempt
        values = self._values(id=task_id, owner=owner, until=until, lease=lease // MICROSECOND, known=known)
        move = (sql.BEGIN, values, sql.NEW_ATTEMPT, sql.TAKE_TURN)
        if claimed is None:
            row = await self._write(lambda db: whole(db, moved(db, *move)))
            return None if row is None else a_task(row)
        row = await self._write(lambda db: moved(db, *move))
        return None if row is None else _begun(claimed, row, values)

    async def bind(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        choice: Choice,
        endpoint: str,
        run_id: str,
        stays: bool = False,
    ) -> datetime | None:
        values = self._values(
            id=task_id,
            attempt=attempt,
            owner=owner,
            executor=choice.executor,
            requested=choice.requested,
            reason=choice.reason,
            model=choice.model,
            endpoint=endpoint,
            run_id=run_id,
            stays=stays,
        )
        return _cancelled_at(await self._move("bind", sql.BIND, values, sql.BIND_ATTEMPT))

    async def checkpoint(
        self, task_id: str, *, attempt: int, owner: str, progress: str | None, snapshot: Mapping[str, Any] | None
    ) -> bool:
        values = self._values(
            id=task_id,
            attempt=attempt,
            owner=owner,
            progress=progress,
            kind="progress",
            text=progress,
            data=None,
            snapshot=None if snapshot is None else to_json(snapshot),
        )

        def unit(db: Connection) -> bool:
            if not db.execute(sql.PROGRESS, values).rowcount:
                return False
            if progress is not None:
                db.execute(sql.NOTE, values)
            if snapshot is not None:
                db.execute(sql.CHECKPOINT, values)
            return True

        return await self._write(unit)

    async def finish(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        state: TaskState,
        outcome: Outcome,
        memory: Remembered | None = None,
    ) -> None:
        values = self._values(id=task_id, attempt=attempt, owner=owner, state=state, end=state, **_stored(outcome))

        def unit(db: Connection) -> Row | None:
            row = moved(db, sql.FINISH, values, sql.NEW_RESULT, sql.END_ATTEMPT)
            if row is None:
                db.execute(sql.NOTE, _late(values))
                return None
            if row["needed"]:
                is_over(db, task_id, state, values["now"])
            if memory is not None:
                memories.add(db, values, memory)
            return row

        held(await self._write(unit), task_id, "finish")

    async def park(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        waiting_for: WaitingFor,
        text: str,
        due_at: datetime | None = None,
        fault: bool = False,
        over: bool = False,
    ) -> datetime | None:
        values = self._values(
            id=task_id,
            attempt=attempt,
            owner=owner,
            waiting_for=waiting_for,
            text=text,
            due_at=maybe_stamp(due_at),
            fault=fault,
            over=over,
            end=f"waiting ({waiting_for})",
        )
        return _cancelled_at(await self._move("park", sql.PARK, values, sql.END_ATTEMPT))

    async def release(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        text: str,
        over: bool = False,
        keep_questions: bool = False,
    ) -> datetime | None:
        more = {"text": text, "over": over, "end": "released"}
        values = self._values(id=task_id, attempt=attempt, owner=owner, **more)
        note = {**values, "kind": "note", "data": None}

        def unit(db: Connection) -> Row | None:
            aside = (
                moved(db, question_statements.SET_ASIDE, note, sql.END_ATTEMPT, sql.NOTE) if keep_questions else None
            )
            return aside or moved(db, sql.RELEASE, values, sql.END_ATTEMPT)

        return _cancelled_at(held(await self._write(unit), task_id, "release"))

    async def hold(self, task_id: str, *, waiting_for: WaitingFor, text: str, due_at: datetime | None = None) -> None:
        values = self._values(id=task_id, waiting_for=waiting_for, text=text, due_at=maybe_stamp(due_at))
        await self._move("hold", sql.HOLD, values)

    async def wake_due(self, *, cloud: bool) -> int:
        return await self._wake(sql.ANY_DUE, sql.WAKE_DUE, cloud=cloud)

    async def wake_held(self, *, limit: int) -> int:
        return await self._wake(sql.ANY_HELD, sql.WAKE_HELD, limit=limit)

    async def wake_for_executor(self, *, everyone: bool) -> int:
        return await self._wake(sql.ANY_FOR_EXECUTOR, sql.WAKE_FOR_EXECUTOR, everyone=everyone)

    async def _wake(self, is_any: str, wake: str, **values: Any) -> int:
        """Move what waits to idle; most of the time there is nothing, which a reader finds out."""
        bound = self._values(**values)
        if not await self._read(is_any, bound):
            return 0
        return await self._write(lambda db: db.execute(wake, bound).rowcount)

    async def expire(self, *, living: Collection[str] = ()) -> int:
        values = self._values(living=to_json(sorted(living)))
        if not await self._read(sql.OVERDUE, values):
            return 0
        return await self._write(lambda db: fail_overdue(db, values))

    async def queue(self, task_ids: Sequence[str], *, executor: str) -> None:
        values = self._values(ids=to_json(task_ids), executor=executor)
        await self._write(lambda db: db.execute(sql.QUEUE, values).rowcount)

    async def forget_queues(self) -> None:
        await self._write(lambda db: db.execute(sql.FORGET_QUEUES).rowcount)

    async def note(self, task_id: str, *, attempt: int, kind: str, text: str) -> None:
        values = self._values(id=task_id, attempt=attempt, kind=kind, text=text, data=None)
        await self._write(lambda db: db.execute(sql.NOTE, values).rowcount)

    async def purge(self, before: datetime, *, limit: int = 500) -> int:
        values = self._values(before=stamp(before), limit=limit)

        def unit(db: Connection) -> int:
            db.execute(sql.MARK_PURGED, values)
            return db.execute(sql.PURGE, values).rowcount

        return await self._write(unit)

    async def renew(self, owner: str, *, lease: timedelta = LEASE) -> Sequence[str]:
        values = self._values(owner=owner, until=stamp(self._clock.now() + lease), lease=lease // MICROSECOND)
        return await self._write(lambda db: [row["id"] for row in db.execute(sql.RENEW, values).fetchall()])


def _begun(task: Task, row: Row, values: Values) -> Task:
    """Return a task as it is now, by how it was read while idle and what may have changed since."""
    at, budget = moment(values["now"]), row["budget_usd"]
    return replace(
        task,
        spec=task.spec if task.spec.budget_usd == budget else replace(task.spec, budget_usd=budget),
        state=TaskState.DISPATCHING,
        since=at,
        updated_at=at,
        attempt=row["attempt"],
        faults=row["faults"],
        owner=values["owner"],
        lease_until=moment(row["lease_until"]),
        cancel_requested_at=_cancelled_at(row),
        **_AFRESH,
    )


_AFRESH: Mapping[str, Any] = {
    **dict.fromkeys(("waiting_for", "due_at", "text", "progress", "progress_at")),
    "consented": False,
}
"""What an attempt begins without."""


def _cancelled_at(row: Row) -> datetime | None:
    return maybe_moment(row["cancel_requested_at"])


def _stored(outcome: Outcome) -> dict[str, Any]:
    """Return what a result row and the task's text hold of an outcome."""
    if isinstance(outcome, Completed):
        structured = None if outcome.structured is None else to_json(outcome.structured)
        notes = to_json(outcome.notes) if outcome.notes else None
        return {
            "result": _pageable(outcome.text),
            "structured": structured,
            "notes": notes,
            "error": None,
            "text": None,
        }
    said = f"{outcome.message}. {outcome.fix}" if outcome.fix else outcome.message
    text = excerpt(said, TEXT, rest="; task_result has them")
    parts = [outcome.partial, None if outcome.partial and text == said else said]
    result = _pageable("\n\n".join(filter(None, parts)))
    return {"result": result, "structured": None, "notes": None, "error": outcome.kind, "text": text}


def _pageable(text: str) -> str:
    """Return a text in which SQLite counts: it takes a NUL for the end."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def _late(values: Values) -> Values:
    """Return a refused end as an event: it may be worth reading, but it is not the outcome."""
    data = to_json({"state": values["state"], "result": values["result"][:TITLE], "error": values["error"]})
    text = f"a late {values['state']} of attempt {values['attempt']}"
    return {**values, "kind": "late_result", "text": text, "data": data}
