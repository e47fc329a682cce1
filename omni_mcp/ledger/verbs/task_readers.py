"""What is told of tasks: one, a page of them, or how many there are."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from omni_mcp.errors import BadRequest
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import Page, ResultPage, ResultPart
from omni_mcp.ledger.dependants import id_range, the_one
from omni_mcp.ledger.rows import a_result_page, a_task, an_attempt, an_event, stamp, to_json
from omni_mcp.ledger.verbs.part import Part
from omni_mcp.task import TERMINAL, Attempt, Event, Task, TaskState, WaitingFor

NEWEST = 1 << 62


class TaskReaders(Part):
    """What is told of tasks."""

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
        newest = sql.BOTH.join(
            sql.OF_STATE.format(name=name, open=int(state not in TERMINAL), seen=seen) for name, state in names.items()
        )
        only = f"and t.n in ({newest})" if names else ""
        rows = await self._read(sql.PAGE.format(states=only, seen=seen), values)
        shown = rows[:limit]
        return Page(tasks=[a_task(row) for row in shown], cursor=str(shown[-1]["n"]) if len(rows) > limit else None)

    async def claimable(self, *, limit: int, full: Sequence[str] = ()) -> Sequence[Task]:
        values = {"limit": limit, "full": to_json(full)}
        return [a_task(row) for row in await self._read(sql.CLAIMABLE, values)]

    async def needs(self, task_id: str) -> Mapping[str, TaskState]:
        return {row["needs"]: TaskState(row["state"]) for row in await self._read(sql.NEEDS, {"id": task_id})}

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


def _from_cursor(cursor: str | None) -> int:
    if cursor is None:
        return NEWEST
    if not re.fullmatch(r"[0-9]{1,18}", cursor):
        raise BadRequest(f"{cursor[:64]!r} is no cursor", next_step="call list_tasks again without a cursor")
    return int(cursor)
