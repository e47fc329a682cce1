"""The ledger on SQLite: writes through the one writer, reads on a connection of their own that never blocks it."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite
import anyio
from anyio.to_thread import run_sync

from omni_mcp.errors import IdempotencyConflict, LedgerTooNew, TaskAmbiguous, TaskNotFound, TransitionRefused
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import LEASE, EngineMark, ExecutorHealth, Page, Submitted, Watermark
from omni_mcp.ledger.rows import (
    TITLE,
    a_health,
    a_result,
    a_task,
    an_engine,
    an_event,
    fingerprint,
    stamp,
    to_json,
)
from omni_mcp.ledger.writer import Work, Writer, understood
from omni_mcp.task import (
    ID_PREFIX,
    Choice,
    Clock,
    Completed,
    Event,
    Outcome,
    Result,
    SystemClock,
    Task,
    TaskSpec,
    TaskState,
    Usage,
    WaitingFor,
)

T = TypeVar("T")
Values = Mapping[str, Any]

POLL = 0.05
"""Seconds between two looks for what other processes wrote, while somebody waits for it."""
FOR_EVER = (1 << 62, "~")


class SqliteLedger:
    """`Ledger` on one SQLite file. Opened at the first call, so that a bad file is an answer and not a crash."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._writer = Writer(path, migrate)
        self._reader: aiosqlite.Connection | None = None
        self._opening = anyio.Lock()
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
        now = stamp(self._clock.now())
        return await self._write(lambda db: _submit(db, spec, task_id, choice, now))

    async def request_cancel(self, task_id: str, *, reason: str | None) -> Task:
        values = {"text": f"cancelled: {reason}" if reason else "cancelled", "id": task_id, **self._now()}

        def unit(db: sqlite3.Connection) -> Task:
            if not db.execute(sql.CANCEL_FREE, values).rowcount:
                db.execute(sql.CANCEL_HELD, values)
            return _task(db, task_id)

        return await self._write(unit)

    async def resume(self, task_id: str, *, consent: bool) -> Task:
        return await self._move(sql.RESUME, task_id, "resume", consent=consent)

    # what engines do

    async def announce(self, mark: EngineMark) -> None:
        values = {
            "owner": mark.owner,
            "pid": mark.pid,
            "version": mark.version,
            "log": mark.log,
            "address": mark.address,
            **self._now(),
        }

        def unit(db: sqlite3.Connection) -> None:
            db.execute(sql.ANNOUNCE, values)
            db.execute(sql.FORGET_ENGINES, values)
            db.execute("delete from executor_health")

        await self._write(unit)

    async def retire(self, owner: str, *, only_if_idle: bool) -> bool:
        values = {"owner": owner, "only_if_idle": only_if_idle, **self._now()}
        return await self._write(lambda db: db.execute(sql.RETIRE, values).rowcount == 1)

    async def begin(self, task_id: str, *, owner: str, lease: timedelta = LEASE) -> Task | None:
        now = self._clock.now()
        values = {"id": task_id, "owner": owner, "now": stamp(now), "until": stamp(now + lease)}

        def unit(db: sqlite3.Connection) -> Task | None:
            if not db.execute(sql.BEGIN, values).rowcount:
                return None
            db.execute(sql.NEW_ATTEMPT, values)
            return _task(db, task_id)

        return await self._write(unit)

    async def bind(self, task_id: str, *, attempt: int, owner: str, choice: Choice, endpoint: str, run_id: str) -> Task:
        chosen = {"executor": choice.executor, "requested": choice.requested, "reason": choice.reason}
        return await self._move(
            sql.BIND,
            task_id,
            "bind",
            then=sql.BIND_ATTEMPT,
            attempt=attempt,
            owner=owner,
            model=choice.model,
            endpoint=endpoint,
            run_id=run_id,
            **chosen,
        )

    async def checkpoint(
        self, task_id: str, *, attempt: int, owner: str, progress: str | None, snapshot: Mapping[str, Any] | None
    ) -> bool:
        values = {"id": task_id, "attempt": attempt, "owner": owner, "progress": progress, **self._now()}
        saved = None if snapshot is None else {"id": task_id, "snapshot": to_json(snapshot)}

        def unit(db: sqlite3.Connection) -> bool:
            if not db.execute(sql.PROGRESS, values).rowcount:
                return False
            if progress is not None:
                db.execute(sql.NOTE, {**values, "kind": "progress", "text": progress, "data": None})
            if saved is not None:
                db.execute(sql.CHECKPOINT, saved)
            return True

        return await self._write(unit)

    async def finish(self, task_id: str, *, attempt: int, owner: str, state: TaskState, outcome: Outcome) -> Task:
        values = {
            "id": task_id,
            "attempt": attempt,
            "owner": owner,
            "state": state,
            "end": state,
            **_stored(outcome),
            **self._now(),
        }

        def unit(db: sqlite3.Connection) -> Task | None:
            if not db.execute(sql.FINISH, values).rowcount:
                _keep_late(db, values)
                return None
            db.execute(sql.NEW_RESULT, values)
            db.execute(sql.END_ATTEMPT, values)
            return _task(db, task_id)

        return _held(await self._write(unit), task_id, "finish")

    async def park(
        self,
        task_id: str,
        *,
        attempt: int,
        owner: str,
        waiting_for: WaitingFor,
        text: str,
        due_at: Any = None,
        fault: bool = False,
    ) -> Task:
        return await self._move(
            sql.PARK,
            task_id,
            "park",
            then=sql.END_ATTEMPT,
            attempt=attempt,
            owner=owner,
            waiting_for=waiting_for,
            text=text,
            due_at=None if due_at is None else stamp(due_at),
            fault=fault,
            end=f"waiting ({waiting_for})",
        )

    async def release(self, task_id: str, *, attempt: int, owner: str, text: str, fault: bool = False) -> Task:
        return await self._move(
            sql.RELEASE,
            task_id,
            "release",
            then=sql.END_ATTEMPT,
            attempt=attempt,
            owner=owner,
            text=text,
            fault=fault,
            end="released",
        )

    async def hold(self, task_id: str, *, waiting_for: WaitingFor, text: str, due_at: Any = None) -> Task:
        due = None if due_at is None else stamp(due_at)
        return await self._move(sql.HOLD, task_id, "hold", waiting_for=waiting_for, text=text, due_at=due)

    async def wake_due(self) -> int:
        now = self._now()
        if not await self._read(sql.ANY_DUE, now):
            return 0
        return await self._write(lambda db: db.execute(sql.WAKE_DUE, now).rowcount)

    async def renew(self, owner: str, *, lease: timedelta = LEASE) -> Sequence[str]:
        values = {"owner": owner, "until": stamp(self._clock.now() + lease)}
        return await self._write(lambda db: [row["id"] for row in db.execute(sql.RENEW, values)])

    async def note(self, task_id: str, *, attempt: int, text: str, data: Mapping[str, Any] | None = None) -> None:
        said = None if data is None else to_json(data)
        values = {"id": task_id, "attempt": attempt, "kind": "note", "text": text, "data": said, **self._now()}
        await self._write(lambda db: db.execute(sql.NOTE, values).rowcount)

    async def open_usage(self, usage: Usage) -> int:
        values = {
            "task_id": usage.task_id,
            "attempt": usage.attempt,
            "model": usage.model,
            "provider": usage.provider,
            **self._now(),
        }
        return await self._write(lambda db: db.execute(sql.OPEN_USAGE, values).lastrowid or 0)

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        values = {
            "id": usage_id,
            "model": usage.model,
            "provider": usage.provider,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost_usd,
            "price_source": usage.price_source,
            **self._now(),
        }
        await self._write(lambda db: db.execute(sql.CLOSE_USAGE, values).rowcount)

    async def report_health(self, health: ExecutorHealth) -> None:
        values = {"name": health.name, "usable": health.usable, "detail": health.detail, "now": stamp(health.seen_at)}
        await self._write(lambda db: db.execute(sql.REPORT_HEALTH, values).rowcount)

    # readers

    async def find(self, id_or_prefix: str, *, principal: str) -> Task:
        wanted = id_or_prefix.strip().lower()
        if len(wanted) < ID_PREFIX or not wanted.isascii():
            raise TaskNotFound(id_or_prefix)
        rows = await self._read(sql.FIND, {"low": wanted, "high": wanted + "~", "principal": principal})
        ids: list[str] = [row["id"] for row in rows]
        if not ids:
            raise TaskNotFound(id_or_prefix)
        if len(ids) > 1 and wanted not in ids:
            raise TaskAmbiguous(id_or_prefix, ids)
        return a_task((await self._read(sql.TASK, {"id": ids[0]}))[0])

    async def result(self, task_id: str) -> Result | None:
        rows = await self._read(sql.RESULT, {"id": task_id})
        return a_result(rows[0]) if rows else None

    async def events(self, task_id: str, *, since_seq: int = 0, limit: int = 100) -> Sequence[Event]:
        values = {"id": task_id, "since": since_seq, "limit": limit}
        return [an_event(row) for row in await self._read(sql.EVENTS, values)]

    async def page(
        self, *, principal: str, states: Sequence[TaskState] = (), limit: int = 20, cursor: str | None = None
    ) -> Page:
        before, before_id = _from_cursor(cursor)
        names = {f"state{n}": state for n, state in enumerate(states)}
        only = f"and t.state in ({', '.join(f':{name}' for name in names)})" if names else ""
        values = {"principal": principal, "before": before, "before_id": before_id, "limit": limit + 1, **names}
        rows = await self._read(sql.PAGE.format(states=only), values)
        tasks = [a_task(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(tasks=tasks, cursor=f"{stamp(tasks[-1].created_at)}.{tasks[-1].id}" if more else None)

    async def claimable(self, *, limit: int) -> Sequence[Task]:
        return [a_task(row) for row in await self._read(sql.CLAIMABLE, {"limit": limit})]

    async def held(self) -> Sequence[Task]:
        return [a_task(row) for row in await self._read(sql.HELD, {})]

    async def counts(self) -> Mapping[TaskState, int]:
        return {TaskState(row["state"]): row["n"] for row in await self._read(sql.COUNTS, {})}

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

    def _now(self) -> dict[str, int]:
        return {"now": stamp(self._clock.now())}

    async def _write(self, work: Work[T]) -> T:
        result = await self._writer.do(work)
        self._written += 1
        self._wrote.set()
        self._wrote = anyio.Event()
        return result

    async def _move(self, statement: str, task_id: str, verb: str, *, then: str | None = None, **values: Any) -> Task:
        """Run one guarded statement and, if it found its row, what belongs to it. Raises TransitionRefused."""
        bound = {"id": task_id, **values, **self._now()}

        def unit(db: sqlite3.Connection) -> Task | None:
            if not db.execute(statement, bound).rowcount:
                return None
            if then is not None:
                db.execute(then, bound)
            return _task(db, task_id)

        return _held(await self._write(unit), task_id, verb)

    async def _read(self, statement: str, values: Values) -> list[sqlite3.Row]:
        try:
            db = self._reader or await self._open_reader()
            return list(await db.execute_fetchall(statement, values))
        except sqlite3.Error as error:
            await self._close_reader()
            raise understood(error, self._path) from error

    async def _open_reader(self) -> aiosqlite.Connection:
        """Open the reading connection; the writer opens first, because it makes and migrates the file."""
        async with self._opening:
            if self._reader is None:
                await self._writer.do(lambda db: db.execute("select 1").fetchone())
                reader = await aiosqlite.connect(f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None)
                reader.row_factory = sqlite3.Row
                self._reader = reader
            return self._reader

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


def _submit(db: sqlite3.Connection, spec: TaskSpec, task_id: str, choice: Choice | None, now: int) -> Submitted:
    """Insert the task, or find the one of its key; and see in the same transaction whether an engine is there."""
    known = _known(db, spec)
    if known is None:
        _insert(db, spec, task_id, choice, now)
    gone = bool(db.execute(sql.ENGINE_GONE).fetchone()[0])
    return Submitted(task=_task(db, known or task_id), deduplicated=known is not None, engine_gone=gone)


def _known(db: sqlite3.Connection, spec: TaskSpec) -> str | None:
    if spec.idempotency_key is None:
        return None
    row = db.execute(sql.KNOWN_KEY, {"principal": spec.principal, "key": spec.idempotency_key}).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != fingerprint(spec):
        raise IdempotencyConflict(spec.idempotency_key, row["task_id"])
    return row["task_id"]


def _insert(db: sqlite3.Connection, spec: TaskSpec, task_id: str, choice: Choice | None, now: int) -> None:
    values = {
        "id": task_id,
        "principal": spec.principal,
        "type": spec.type,
        "priority": spec.priority,
        "now": now,
        "executor": spec.executor,
        "requested": choice.requested if choice else None,
        "reason": choice.reason if choice else None,
        "title": spec.description[:TITLE],
        "description": spec.description,
        "model": spec.model,
        "cwd": spec.cwd,
        "options": to_json(dict(spec.options)),
    }
    db.execute(sql.NEW_TASK, values)
    db.execute(sql.NEW_PAYLOAD, values)
    if spec.idempotency_key is not None:
        key = {"key": spec.idempotency_key, "fingerprint": fingerprint(spec)}
        db.execute(sql.NEW_KEY, {**values, **key})


def _task(db: sqlite3.Connection, task_id: str) -> Task:
    row = db.execute(sql.TASK, {"id": task_id}).fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    return a_task(row)


def _held(task: Task | None, task_id: str, verb: str) -> Task:
    if task is None:
        raise TransitionRefused(task_id, verb)
    return task


def _stored(outcome: Outcome) -> dict[str, Any]:
    """Return what a result row and the task's text hold of an outcome."""
    if isinstance(outcome, Completed):
        structured = None if outcome.structured is None else to_json(outcome.structured)
        notes = to_json(outcome.notes) if outcome.notes else None
        return {"result": outcome.text, "structured": structured, "notes": notes, "error": None, "text": None}
    said = f"{outcome.message}. {outcome.fix}" if outcome.fix else outcome.message
    result = outcome.partial or said
    return {"result": result, "structured": None, "notes": None, "error": outcome.kind, "text": said}


def _keep_late(db: sqlite3.Connection, values: Values) -> None:
    """Keep a refused end as an event: it may be worth reading, but it is not the outcome."""
    data = to_json({"state": values["state"], "result": values["result"][:TITLE], "error": values["error"]})
    kept = {**values, "kind": "late_result", "text": f"a late {values['state']} of attempt {values['attempt']}"}
    db.execute(sql.NOTE, {**kept, "data": data})


def _from_cursor(cursor: str | None) -> tuple[int, str]:
    at, _, task_id = (cursor or "").partition(".")
    return (int(at), task_id) if at.isdigit() else FOR_EVER


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to our version, forward only. Raises LedgerTooNew."""
    db.row_factory = sqlite3.Row
    ours = _migrations()
    version = db.execute("pragma user_version").fetchone()[0]
    newest = max(ours)
    if version > newest:
        raise LedgerTooNew(
            f"the ledger has version {version}, this release knows {newest}",
            next_step="upgrade: pip install --upgrade omni-mcp",
        )
    for number in range(version + 1, newest + 1):
        db.executescript(f"begin immediate; {ours[number]}; pragma user_version = {number}; commit;")


def _migrations() -> Mapping[int, str]:
    files: Iterable[Any] = resources.files("omni_mcp.ledger").joinpath("sql").iterdir()
    return {int(file.name[:4]): file.read_text() for file in files if file.name.endswith(".sql")}
