"""What all parts of the verbs share."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from omni_mcp.errors import TransitionRefused
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import Ledger, Submitted, Watermark
from omni_mcp.ledger.rows import TITLE, a_task, an_engine, fingerprint, maybe_json, maybe_stamp, plain, stamp, to_json
from omni_mcp.ledger.store import Connection, Row, Store, Values, Work
from omni_mcp.task import Choice, Clock, SystemClock, TaskSpec

T = TypeVar("T")


class Part(Ledger):
    """Some of the verbs of a ledger, over a store."""

    def __init__(self, store: Store, *, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()

    @property
    def shared(self) -> bool:
        """Whether engines of several homes may work on it."""
        return self._store.shared

    async def watermark(self) -> Watermark:
        return await self._store.watermark()

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        return await self._store.changed(since, timeout=timeout)

    def look(self) -> None:
        self._store.look()

    def _values(self, **values: Any) -> dict[str, Any]:
        """Return what is bound to statements: the time, and text that UTF-8 can carry."""
        for name, value in values.items():
            if isinstance(value, str):
                values[name] = plain(value)
        values["now"] = stamp(self._clock.now())
        return values

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
            on_machine=spec.options.get("machine"),
            budget_usd=spec.budget_usd,
            fingerprint=None if spec.idempotency_key is None else fingerprint(spec),
        )

    async def _move(self, verb: str, guarded: str, values: Values, *then: str) -> Row:
        """Move a task. Raises TransitionRefused."""
        return held(await self._write(lambda db: moved(db, guarded, values, *then)), values["id"], verb)

    async def _write(self, work: Work[T]) -> T:
        return await self._store.write(work)

    async def _read(self, statement: str, values: Values) -> Sequence[Row]:
        return await self._store.read(statement, values)


def moved(db: Connection, guarded: str, values: Values, *then: str) -> Row | None:
    """Run one guarded write and what belongs to it; None when it did not find its row."""
    row: Row | None = db.execute(guarded, values).fetchone()
    if row is not None and then:
        place = {**values, "n": row["n"], "attempt": row["attempt"]}
        for statement in then:
            db.execute(statement, place)
    return row


def whole(db: Connection, row: Row | None) -> Row | None:
    """Return the whole task of a move, for who has to read it."""
    return None if row is None else db.execute(sql.TASK_BY_N, {"n": row["n"]}).fetchone()


def held(row: Row | None, task_id: str, verb: str) -> Row:
    """Return what came of a move. Raises TransitionRefused: this attempt does not hold the task."""
    if row is None:
        raise TransitionRefused(task_id, verb)
    return row


def submitted(row: Row, deduplicated: bool, engine: Row | None) -> Submitted:
    """Return the answer to a submit."""
    mark = None if engine is None else an_engine(engine)
    return Submitted(task=a_task(row), deduplicated=deduplicated, engine=mark)
