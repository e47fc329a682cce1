"""The ledger on SQLite: writes through the one writer, reads on a connection of their own that never blocks it."""

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite
import anyio
from anyio.to_thread import run_sync

from omni_mcp.budget import Allowance, Cell, Cost, Spending
from omni_mcp.errors import (
    BadRequest,
    MemoryUnknown,
    TransitionRefused,
)
from omni_mcp.excerpt import excerpt
from omni_mcp.ledger import measure_statements, memories, question_statements, questions, schedule_statements, schedules
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger import usage as books
from omni_mcp.ledger.base import (
    LEASE,
    Delivery,
    EngineMark,
    ExecutorHealth,
    Ledger,
    ModeChange,
    ModeMark,
    Notice,
    Page,
    Remembered,
    ResultPage,
    ResultPart,
    ScheduleMark,
    Submitted,
    Watermark,
)
from omni_mcp.ledger.dependants import id_range, is_over, the_one
from omni_mcp.ledger.measures import Measures
from omni_mcp.ledger.migrations import migrate, newest_version
from omni_mcp.ledger.notices import write_notice
from omni_mcp.ledger.overdue import fail_overdue
from omni_mcp.ledger.rows import (
    TITLE,
    a_change,
    a_delivery,
    a_health,
    a_mode,
    a_notice,
    a_result_page,
    a_task,
    an_attempt,
    an_engine,
    an_event,
    fingerprint,
    maybe_json,
    maybe_stamp,
    moment,
    plain,
    stamp,
    to_json,
)
from omni_mcp.ledger.submission import submit, the_task
from omni_mcp.ledger.writer import PATIENCE, Work, Writer, inode, understood
from omni_mcp.question import Answer, Asked, Question
from omni_mcp.task import (
    Attempt,
    Choice,
    Clock,
    Completed,
    Event,
    FailureClass,
    Memory,
    Mode,
    Outcome,
    SystemClock,
    Task,
    TaskSpec,
    TaskState,
    Usage,
    WaitingFor,
)

T = TypeVar("T")
Values = Mapping[str, Any]

TEXT = 2000
"""Characters of an error that a task shows; the whole of it is in its result."""
POLL = 0.05
"""Seconds between two looks for what other processes wrote, while somebody waits for it."""
LOOK = timedelta(seconds=1)
"""How often a reader looks whether its file was deleted or replaced."""
NEWEST = 1 << 62


class SqliteLedger(Ledger):
    """`Ledger` on one SQLite file. Opened at the first call, so that a bad file is an answer and not a crash."""

    def __init__(
        self, path: Path, *, clock: Clock | None = None, patience: float = PATIENCE, engine_lock: Path | None = None
    ) -> None:
        """With an `engine_lock` an older file is upgraded only while no engine holds that lock."""
        self._path = path
        self._clock = clock or SystemClock()
        self._writer = Writer(path, partial(migrate, engine_lock=engine_lock), patience=patience)
        self._reader: aiosqlite.Connection | None = None
        self._reads: int | None = None
        """The inode that the reader reads."""
        self._writes: int | None = None
        """The inode that the writer had open when we last looked: one that it forsook is to be read no more."""
        self._looked: datetime | None = None
        self._opening: anyio.Event | None = None
        self._written = 0
        self._wrote = anyio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._close_reader()
            await run_sync(self._writer.close)

    # what faces do

    async def submit(self, spec: TaskSpec, *, task_id: str, choice: Choice | None) -> Submitted:
        values = self._new(spec, task_id, choice)
        return _submitted(*await self._write(lambda db: submit(db, values, spec.after)))

    def _new(self, spec: TaskSpec, task_id: str, choice: Choice | None = None) -> Values:
        """Return what is bound to write a new task."""
        return self._values(
            id=task_id,
            principal=spec.principal,
            key=spec.idempotency_key,
            type=spec.type,
            priority=spec.priority,
            executor=spec.executor,
            requested=choice.requested if choice else None,
            reason=choice.reason if choice else None,
            title=spec.description[:TITLE],
            description=spec.description,
            model=spec.model,
            cwd=spec.cwd,
            options=maybe_json(dict(spec.options)),
            deadline=maybe_stamp(spec.deadline),
            ancestors=to_json(spec.ancestors) if spec.ancestors else None,
            retry_of=spec.retry_of,
            trace=spec.trace,
            budget_usd=spec.budget_usd,
            fingerprint=None if spec.idempotency_key is None else fingerprint(spec),
        )

    async def run_schedule(self, name: str, *, plan: str, spec: TaskSpec, task_id: str) -> Submitted:
        task = self._new(spec, task_id)
        values = {"name": name, "plan": plan, "id": task_id, "now": task["now"]}
        return _submitted(*await self._write(lambda db: schedules.run_by_hand(db, values, task)))

    async def pause_schedule(self, name: str, *, plan: str, paused: bool) -> EngineMark | None:
        values = self._values(name=name, plan=plan)
        engine = await self._write(lambda db: schedules.pause(db, values, paused=paused))
        return None if engine is None else an_engine(engine)

    async def request_cancel(self, task_id: str, *, reason: str | None, lives: bool = False) -> Task:
        text = f"cancelled: {reason}" if reason else "cancelled"
        end = {"result": text, "structured": None, "notes": None, "error": FailureClass.CANCELLED}
        values = self._values(id=task_id, text=text, **end)

        def unit(db: sqlite3.Connection) -> sqlite3.Row:
            held = db.execute(sql.CANCEL_LIVING, values).fetchone() if lives else None
            if held is None and (free := db.execute(sql.CANCEL_FREE, values).fetchone()) is not None:
                db.execute(sql.NEW_RESULT, {**values, "n": free["n"]})
                is_over(db, task_id, TaskState.CANCELLED, values["now"])
            elif (held := held or db.execute(sql.CANCEL_HELD, values).fetchone()) is not None:
                wish = {**values, "kind": "note", "text": f"asked to be {text}", "data": None}
                db.execute(sql.NOTE, {**wish, "attempt": held["attempt"]})
            return the_task(db, task_id)

        return a_task(await self._write(unit))

    async def resume(self, task_id: str, *, consent: bool, add_budget_usd: float | None = None) -> Task:
        values = self._values(id=task_id, consent=consent, add=add_budget_usd)
        raised = () if add_budget_usd is None else (sql.RAISE_BUDGET,)
        return await self._move("resume", sql.RESUME, values, *raised, sql.AWAIT_NEEDS, sql.FORGET_TROUBLES)

    async def answer(self, task_id: str, question_id: str, *, answer: Answer, by: str) -> Task:
        values = self._values(
            id=task_id,
            question_id=question_id,
            number=questions.number_of(question_id),
            action=answer.action,
            content=None if answer.content is None else to_json(answer.content),
            answered_by=by,
        )

        def unit(db: sqlite3.Connection) -> sqlite3.Row:
            questions.answer(db, values)
            return the_task(db, task_id)

        return a_task(await self._write(unit))

    # what engines do

    async def announce(self, mark: EngineMark) -> None:
        said = {"version": mark.version, "log": mark.log, "address": mark.address, "settings": mark.settings}
        values = self._values(owner=mark.owner, pid=mark.pid, **said)

        def unit(db: sqlite3.Connection) -> None:
            db.execute(sql.ANNOUNCE, values)
            db.execute(sql.FORGET_ENGINES, values)
            db.execute(sql.FORGET_HEALTH)
            db.execute(sql.FORGET_QUEUES)

        await self._write(unit)

    async def retire(self, owner: str, *, only_if_idle: bool, scheduled: Collection[str] = ()) -> bool:
        values = self._values(owner=owner, only_if_idle=only_if_idle, scheduled=to_json(list(scheduled)))
        return await self._write(lambda db: db.execute(sql.RETIRE, values).rowcount == 1)

    async def plan_schedule(self, name: str, *, plan: str) -> None:
        values = self._values(name=name, plan=plan)
        await self._write(lambda db: db.execute(schedule_statements.PLAN, values).rowcount)

    async def unplan_schedules(self, names: Collection[str]) -> None:
        values = self._values(names=to_json(list(names)))
        await self._write(lambda db: db.execute(schedule_statements.UNPLAN, values).rowcount)

    async def advance_schedule(
        self,
        mark: ScheduleMark,
        *,
        seen_until: datetime,
        queued: Sequence[datetime],
        said: str | None = None,
        run: tuple[datetime, TaskSpec, str] | None = None,
    ) -> Task | None:
        due_at, task_id = (None, None) if run is None else (stamp(run[0]), run[2])
        task = None if run is None else self._new(run[1], run[2])
        values = self._values(
            name=mark.name,
            plan=mark.plan,
            was_seen=stamp(mark.seen_until),
            was_queued=to_json([*map(stamp, mark.queued)]),
            seen_until=stamp(seen_until),
            queued=to_json([*map(stamp, queued)]),
            said=said,
            id=task_id,
            due_at=due_at,
        )
        row = await self._write(lambda db: schedules.advance(db, values, task))
        return None if row is None else a_task(row)

    async def dismiss(self, owner: str) -> None:
        values = self._values(owner=owner)
        await self._write(lambda db: db.execute(sql.DISMISS, values).rowcount)

    async def begin(self, task_id: str, *, owner: str, lease: timedelta = LEASE) -> Task | None:
        values = self._values(id=task_id, owner=owner, until=stamp(self._clock.now() + lease))
        row = await self._write(lambda db: _moved(db, sql.BEGIN, values, sql.NEW_ATTEMPT, sql.TAKE_TURN))
        return None if row is None else a_task(row)

    async def bind(self, task_id: str, *, attempt: int, owner: str, choice: Choice, endpoint: str, run_id: str) -> Task:
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
        )
        return await self._move("bind", sql.BIND, values, sql.BIND_ATTEMPT)

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

        def unit(db: sqlite3.Connection) -> bool:
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
    ) -> Task:
        values = self._values(id=task_id, attempt=attempt, owner=owner, state=state, end=state, **_stored(outcome))

        def unit(db: sqlite3.Connection) -> sqlite3.Row | None:
            row = _moved(db, sql.FINISH, values, sql.NEW_RESULT, sql.END_ATTEMPT)
            if row is None:
                db.execute(sql.NOTE, _late(values))
            else:
                is_over(db, task_id, state, values["now"])
                if memory is not None:
                    memories.add(db, values, memory)
            return row

        return _held(await self._write(unit), task_id, "finish")

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
    ) -> Task:
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
        return await self._move("park", sql.PARK, values, sql.END_ATTEMPT)

    async def release(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        text: str,
        over: bool = False,
        keep_questions: bool = False,
    ) -> Task:
        more = {"text": text, "over": over, "end": "released"}
        values = self._values(id=task_id, attempt=attempt, owner=owner, **more)
        note = {**values, "kind": "note", "data": None}

        def unit(db: sqlite3.Connection) -> sqlite3.Row | None:
            aside = (
                _moved(db, question_statements.SET_ASIDE, note, sql.END_ATTEMPT, sql.NOTE) if keep_questions else None
            )
            return aside or _moved(db, sql.RELEASE, values, sql.END_ATTEMPT)

        return _held(await self._write(unit), task_id, "release")

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

    async def hold(self, task_id: str, *, waiting_for: WaitingFor, text: str, due_at: datetime | None = None) -> Task:
        values = self._values(id=task_id, waiting_for=waiting_for, text=text, due_at=maybe_stamp(due_at))
        return await self._move("hold", sql.HOLD, values)

    async def wake_due(self, *, cloud: bool) -> int:
        return await self._wake(sql.ANY_DUE, sql.WAKE_DUE, cloud=cloud)

    async def wake_held(self, *, limit: int) -> int:
        return await self._wake(sql.ANY_HELD, sql.WAKE_HELD, limit=limit)

    async def wake_for_executor(self, *, everyone: bool) -> int:
        return await self._wake(sql.ANY_FOR_EXECUTOR, sql.WAKE_FOR_EXECUTOR, everyone=everyone)

    async def expire(self) -> int:
        values = self._values()
        if not await self._read(sql.OVERDUE, values):
            return 0
        return await self._write(lambda db: fail_overdue(db, values["now"]))

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

        def unit(db: sqlite3.Connection) -> int:
            db.execute(sql.MARK_PURGED, values)
            return db.execute(sql.PURGE, values).rowcount

        return await self._write(unit)

    async def renew(self, owner: str, *, lease: timedelta = LEASE) -> Sequence[str]:
        values = self._values(owner=owner, until=stamp(self._clock.now() + lease))
        return await self._write(lambda db: [row["id"] for row in db.execute(sql.RENEW, values)])

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:
        values = self._values(**{**asdict(usage), "id": usage.task_id})
        return await self._write(lambda db: books.open_row(db, values, allowance))

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        values = self._values(**{**asdict(usage), "id": usage_id})
        await self._write(lambda db: db.execute(books.CLOSE, values).rowcount)

    async def report_health(self, health: ExecutorHealth) -> None:
        values = {**self._values(name=health.name, detail=health.detail), "now": stamp(health.seen_at)}
        values["usable"] = health.usable
        await self._write(lambda db: db.execute(sql.REPORT_HEALTH, values).rowcount)

    async def lead(self, owner: str, *, over: str | None, until: datetime) -> bool:
        values = self._values(owner=owner, over=over, until=stamp(until))
        return await self._write(lambda db: db.execute(sql.LEAD, values).fetchone() is not None)

    async def save_mode(
        self, owner: str, *, state: str, mode: Mode, cause: str, notice: str, channels: Sequence[str] = ()
    ) -> bool:
        values = self._values(owner=owner, state=state, mode=mode, cause=cause, kind="mode", text=notice)

        def unit(db: sqlite3.Connection) -> bool:
            row = db.execute(sql.SAVE_MODE, values).fetchone()
            if row is not None and (was := row["mode"]) != mode:
                for statement in (sql.CHANGE_MODE, sql.NEW_CHANGE):
                    db.execute(statement, {**values, "was": was})
                data = to_json({"mode": mode, "was": was, "cause": values["cause"]})
                write_notice(db, {**values, "data": data}, channels)
            return row is not None

        return await self._write(unit)

    async def force_mode(self, mode: Mode | None, *, until: datetime | None) -> None:
        values = self._values(mode=mode, until=maybe_stamp(until))
        values["at"] = None if mode is None else values["now"]
        await self._write(lambda db: db.execute(sql.FORCE_MODE, values).rowcount)

    async def told(self, notice: int) -> bool:
        values = self._values(n=notice)
        return await self._write(lambda db: db.execute(sql.TOLD, values).rowcount == 1)

    async def give_notice(self, *, kind: str, text: str, channels: Sequence[str], unless_since: datetime) -> bool:
        values = self._values(kind=kind, text=text, data=None, since=stamp(unless_since))

        def unit(db: sqlite3.Connection) -> bool:
            is_new = db.execute(sql.TOLD_LATELY, values).fetchone() is None
            if is_new:
                write_notice(db, values, channels)
            return is_new

        return await self._write(unit)

    async def delivered(self, delivery: int) -> None:
        values = self._values(n=delivery)
        await self._write(lambda db: db.execute(sql.DELIVERED, values).rowcount)

    async def put_off(self, delivery: int, *, trouble: str, due_at: datetime | None) -> None:
        values = self._values(n=delivery, trouble=trouble, due_at=maybe_stamp(due_at))
        await self._write(lambda db: db.execute(sql.PUT_OFF, values).rowcount)

    async def disown(self, channels: Sequence[str]) -> int:
        values = self._values(channels=to_json(channels), trouble="it is configured no more")
        return await self._write(lambda db: db.execute(sql.DISOWN, values).rowcount)

    async def send_again(self, channels: Collection[str]) -> int:
        values = self._values(channels=to_json(list(channels)))
        return await self._write(lambda db: db.execute(sql.SEND_AGAIN, values).rowcount)

    async def forget(self, id_or_prefix: str, *, principal: str | None) -> str:
        low, high = id_range(id_or_prefix)
        rows = await self._read(memories.FIND, {"low": low, "high": high, "principal": principal})
        if not rows:
            raise MemoryUnknown(id_or_prefix)
        task_id = the_one(id_or_prefix, [row["task_id"] for row in rows])
        await self._write(lambda db: db.execute(memories.FORGET, {"id": task_id}).rowcount)
        return task_id

    # readers

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        if (words := memories.looked_for(text)) is None:
            return []
        values = {"words": words, "principal": principal, "project": project or "", "limit": limit}
        return [memories.a_memory(row) for row in await self._read(memories.RECALL, values)]

    async def memories(self, text: str | None, *, principal: str | None, limit: int) -> Sequence[Memory]:
        values: Values = {"principal": principal, "limit": limit}
        if text is None:
            return [memories.a_memory(row) for row in await self._read(memories.NEWEST, values)]
        if (words := memories.looked_for(text)) is None:
            return []
        rows = await self._read(memories.SEARCH, {**values, "words": words})
        return [memories.a_memory(row) for row in rows]

    async def find(self, id_or_prefix: str, *, principal: str | None) -> Task:
        low, high = id_range(id_or_prefix)
        rows = await self._read(sql.FIND_WHOLE, {"low": low, "high": high, "principal": principal})
        wanted = the_one(id_or_prefix, [row["id"] for row in rows])
        return next(a_task(row) for row in rows if row["id"] == wanted)

    async def result_page(
        self, task_id: str, *, offset: int = 0, limit: int, part: ResultPart = "text", inline: int = 0
    ) -> ResultPage | None:
        values = {"id": task_id, "offset": offset, "limit": limit, "part": part, "inline": inline}
        rows = await self._read(sql.RESULT_PAGE, values)
        return a_result_page(rows[0]) if rows else None

    async def questions(self, task_id: str) -> Sequence[Question]:
        rows = await self._read(question_statements.QUESTIONS, {"id": task_id})
        return [questions.a_question(row) for row in rows]

    async def events(self, task_id: str, *, since_seq: int = 0, limit: int = 100) -> Sequence[Event]:
        values = {"id": task_id, "since": since_seq, "limit": limit}
        return [an_event(row) for row in await self._read(sql.EVENTS, values)]

    async def attempts(self, task_id: str, *, limit: int) -> Sequence[Attempt]:
        rows = await self._read(sql.ATTEMPTS_OF, {"id": task_id, "limit": limit})
        return [an_attempt(row) for row in reversed(rows)]

    async def page(
        self, *, principal: str | None, states: Sequence[TaskState] = (), limit: int = 20, cursor: str | None = None
    ) -> Page:
        names = {f"state{n}": state for n, state in enumerate(states)}
        values = {"principal": principal, "before": _from_cursor(cursor), "limit": limit + 1, **names}
        seen = sql.page_of(principal)
        newest = sql.BOTH.join(sql.OF_STATE.format(name=name, seen=seen) for name in names)
        only = f"and t.n in ({newest})" if names else ""
        rows = await self._read(sql.PAGE.format(states=only, seen=seen), values)
        shown = rows[:limit]
        return Page(tasks=[a_task(row) for row in shown], cursor=str(shown[-1]["n"]) if len(rows) > limit else None)

    async def claimable(self, *, limit: int, full: Sequence[str] = ()) -> Sequence[Task]:
        values = {"limit": limit, "full": to_json(full)}
        return [a_task(row) for row in await self._read(sql.CLAIMABLE, values)]

    async def needs(self, task_id: str) -> Mapping[str, TaskState]:
        return {row["needs"]: TaskState(row["state"]) for row in await self._read(sql.NEEDS, {"id": task_id})}

    async def spending(self, task_id: str, *, executor: str, model: str, since: datetime | None) -> Spending:
        values = {"id": task_id, "executor": executor, "model": model, "since": books.since_of(since)}
        rows = await self._read(books.SPENDING, values)
        return books.spending_of(rows[0] if rows else None)

    async def costs(self, by: str, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cost]:
        values = {"since": stamp(since), "principal": principal, "limit": limit}
        return [books.a_cost(row) for row in await self._read(books.costs_by(by), values)]

    async def cells(self, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cell]:
        values = {"since": stamp(since), "principal": principal, "limit": limit}
        return [books.a_cell(row) for row in await self._read(books.CELLS, values)]

    async def measures(self) -> Measures:
        attempts = await self._read(measure_statements.ATTEMPTS, {})
        return Measures(
            open=[measure_statements.some_open(row) for row in await self._read(measure_statements.OPEN, {})],
            over={TaskState(row["state"]): row["n"] for row in await self._read(measure_statements.OVER, {})},
            attempts={(row["executor"], row["end"]): row["n"] for row in attempts},
            calls=[measure_statements.some_calls(row) for row in await self._read(measure_statements.CALLS, {})],
            calls_open=(await self._read(measure_statements.CALLS_OPEN, {}))[0]["n"],
            took=measure_statements.took((await self._read(measure_statements.TOOK, {}))[0]),
        )

    async def purgeable(self, before: datetime) -> int:
        return (await self._read(sql.PURGEABLE, {"before": stamp(before)}))[0]["n"]

    async def held(self) -> Sequence[Task]:
        return [a_task(row) for row in await self._read(sql.HELD, {})]

    async def counts(self, *, principal: str | None = None) -> Mapping[TaskState, int]:
        rows = await self._read(*sql.of_whom(sql.COUNTS, principal))
        return {TaskState(row["state"]): row["n"] for row in rows}

    async def waits(self, *, principal: str | None = None) -> Mapping[WaitingFor, int]:
        rows = await self._read(*sql.of_whom(sql.WAITS, principal))
        return {WaitingFor(row["waiting_for"]): row["n"] for row in rows}

    async def waiting_ids(self, *, principal: str | None, limit: int) -> Mapping[WaitingFor, Sequence[str]]:
        found: dict[WaitingFor, list[str]] = {}
        for row in await self._read(sql.WAITING_IDS, {"principal": principal, "limit": limit}):
            found.setdefault(WaitingFor(row["waiting_for"]), []).append(row["id"])
        return found

    async def mode(self) -> ModeMark:
        return a_mode((await self._read(sql.MODE, {}))[0])

    async def mode_changes(self, *, limit: int) -> Sequence[ModeChange]:
        return [a_change(row) for row in await self._read(sql.CHANGES, {"limit": limit})]

    async def untold(self) -> Sequence[Notice]:
        return [a_notice(row) for row in await self._read(sql.UNTOLD, {})]

    async def owed(self, channel: str) -> Delivery | None:
        rows = await self._read(sql.OWED, {"channel": channel})
        return a_delivery(rows[0]) if rows else None

    async def any_owed(self) -> bool:
        return bool((await self._read(sql.ANY_OWED, {}))[0]["owed"])

    async def given_up(self) -> Mapping[str, tuple[int, datetime, str]]:
        rows = await self._read(sql.GIVEN_UP, {})
        return {row["channel"]: (row["n"], moment(row["at"]), row["trouble"]) for row in rows}

    async def schedules(self) -> Mapping[str, ScheduleMark]:
        rows = await self._read(schedule_statements.SCHEDULES, {})
        return {row["name"]: schedules.a_schedule(row) for row in rows}

    async def last_deliveries(self) -> Sequence[Delivery]:
        return [a_delivery(row) for row in await self._read(sql.LAST_DELIVERIES, {})]

    async def engine(self) -> EngineMark | None:
        rows = await self._read(sql.ENGINE, {})
        return an_engine(rows[0]) if rows else None

    async def health(self) -> Mapping[str, ExecutorHealth]:
        return {row["name"]: a_health(row) for row in await self._read(sql.HEALTH, {})}

    async def watermark(self) -> Watermark:
        return self._written, (await self._read("pragma data_version", {}))[0][0]

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        with anyio.move_on_after(timeout.total_seconds()):
            while True:
                wrote = self._wrote
                if await self.watermark() != since:
                    return True
                with anyio.move_on_after(POLL):
                    await wrote.wait()
        return False

    # how it is done

    def _values(self, **values: Any) -> dict[str, Any]:
        """Return what is bound to statements: the time, and text that UTF-8 can carry."""
        bound = {name: plain(value) if isinstance(value, str) else value for name, value in values.items()}
        return {**bound, "now": stamp(self._clock.now())}

    async def _wake(self, is_any: str, wake: str, **values: Any) -> int:
        """Move what waits to idle; most of the time there is nothing, which a reader finds out."""
        bound = self._values(**values)
        if not await self._read(is_any, bound):
            return 0
        return await self._write(lambda db: db.execute(wake, bound).rowcount)

    async def _write(self, work: Work[T]) -> T:
        result = await self._writer.do(work)
        self._tell()
        return result

    def _tell(self) -> None:
        """Wake those who wait for a change."""
        self._written += 1
        self.look()

    def look(self) -> None:
        self._wrote.set()
        self._wrote = anyio.Event()

    async def _move(self, verb: str, guarded: str, values: Values, *then: str) -> Task:
        """Move a task. Raises TransitionRefused."""
        return _held(await self._write(lambda db: _moved(db, guarded, values, *then)), values["id"], verb)

    async def _read(self, statement: str, values: Values) -> list[sqlite3.Row]:
        try:
            db = await self._current_reader()
            return list(await db.execute_fetchall(statement, values))
        except ValueError:  # closed meanwhile by another reader, who found the file replaced
            return await self._read(statement, values)
        except sqlite3.Error as error:
            await self._close_reader()
            raise understood(error, self._path) from error

    async def _current_reader(self) -> aiosqlite.Connection:
        """Return a connection to the file that is there now; opening it is the writer's to refuse."""
        if self._reader is not None and await self._is_replaced():
            await self._close_reader()
        return self._reader or await self._open_reader()

    async def _is_replaced(self) -> bool:
        now = self._clock.now()
        wrote, self._writes = self._writes, self._writer.inode
        if wrote is not None and wrote != self._writes:
            return True
        if self._looked is not None and abs(now - self._looked) < LOOK:
            return False
        self._looked = now
        return self._reads != await run_sync(inode, self._path)

    async def _open_reader(self) -> aiosqlite.Connection:
        """Open the reading connection; where the file is not yet as it has to be, the writer makes and migrates it.

        Else nothing waits for the gate: a frozen holder stops those who write, not those who read.
        """
        while self._reader is None:
            if self._opening is not None:
                await self._opening.wait()  # all at once: a lock would let them go one by one, a round of the loop each
                continue
            self._opening = anyio.Event()
            try:
                self._reader = await self._ready_reader() or await self._made_reader()
            finally:
                self._opening.set()
                self._opening = None
        return self._reader

    async def _made_reader(self) -> aiosqlite.Connection:
        """Have the writer make the file, or migrate it, and return a connection to it."""
        await self._writer.do(lambda db: db.execute("select 1").fetchone())
        return await self._connected()

    async def _ready_reader(self) -> aiosqlite.Connection | None:
        """Return a connection to a file of our version; None when there is none."""
        there = await run_sync(inode, self._path)
        if there is None or self._writer.inode not in (None, there):
            return None
        ours = await run_sync(newest_version)
        with anyio.CancelScope(shield=True):
            reader = await self._connected()
            with suppress(sqlite3.Error):
                if next(iter(await reader.execute_fetchall("pragma user_version")))[0] == ours:
                    return reader
            await reader.close()
        return None

    async def _connected(self) -> aiosqlite.Connection:
        self._reads = await run_sync(inode, self._path)
        reader = await aiosqlite.connect(f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        reader.row_factory = sqlite3.Row
        return reader

    async def _close_reader(self) -> None:
        """Close it; watermarks that were taken from it count no more."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
            self._tell()


def _moved(db: sqlite3.Connection, guarded: str, values: Values, *then: str) -> sqlite3.Row | None:
    """Run one guarded write and what belongs to it; None when it did not find its row."""
    row = db.execute(guarded, values).fetchone()
    if row is None:
        return None
    place = {**values, "n": row["n"], "attempt": row["attempt"]}
    for statement in then:
        db.execute(statement, place)
    return db.execute(sql.TASK_BY_N, place).fetchone()


def _held(row: sqlite3.Row | None, task_id: str, verb: str) -> Task:
    if row is None:
        raise TransitionRefused(task_id, verb)
    return a_task(row)


def _submitted(row: sqlite3.Row, deduplicated: bool, engine: sqlite3.Row | None) -> Submitted:
    mark = None if engine is None else an_engine(engine)
    return Submitted(task=a_task(row), deduplicated=deduplicated, engine=mark)


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


def _from_cursor(cursor: str | None) -> int:
    if cursor is None:
        return NEWEST
    if not re.fullmatch(r"[0-9]{1,18}", cursor):
        raise BadRequest(f"{cursor[:64]!r} is no cursor", next_step="call list_tasks again without a cursor")
    return int(cursor)
