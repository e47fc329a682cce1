"""What is true of the whole home: its engine, the health of its executors, its mode."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import GRACE, EngineMark, ExecutorHealth, ModeChange, ModeMark
from omni_mcp.ledger.notices import write_notice
from omni_mcp.ledger.rows import MICROSECOND, a_change, a_health, a_mode, an_engine, maybe_stamp, stamp, to_json
from omni_mcp.ledger.store import Connection
from omni_mcp.ledger.verbs.part import Part
from omni_mcp.task import Mode


class House(Part):
    """What engines and people say of the whole home."""

    async def announce(self, mark: EngineMark) -> None:
        said = {"version": mark.version, "log": mark.log, "address": mark.address, "settings": mark.settings}
        values = self._values(owner=mark.owner, pid=mark.pid, **said)

        def unit(db: Connection) -> None:
            db.execute(sql.ANNOUNCE, values)
            db.execute(sql.FORGET_ENGINES, values)
            db.execute(sql.FORGET_HEALTH)
            db.execute(sql.FORGET_QUEUES)

        await self._write(unit)

    async def retire(self, owner: str, *, only_if_idle: bool, scheduled: Collection[str] = ()) -> bool:
        values = self._values(owner=owner, only_if_idle=only_if_idle, scheduled=to_json(list(scheduled)))
        return await self._write(lambda db: db.execute(sql.RETIRE, values).rowcount == 1)

    async def dismiss(self, owner: str) -> None:
        values = self._values(owner=owner)
        await self._write(lambda db: db.execute(sql.DISMISS, values).rowcount)

    async def bury(self, owner: str) -> bool:
        if not self.shared:
            return True
        values = self._values(owner=owner, grace=GRACE // MICROSECOND)

        def unit(db: Connection) -> bool:
            db.execute(sql.BURY, values)
            return db.execute(sql.IS_BURIED, values).fetchone()["buried"]

        return await self._write(unit)

    async def engine(self) -> EngineMark | None:
        rows = await self._read(sql.ENGINE, {})
        return an_engine(rows[0]) if rows else None

    async def report_health(self, health: ExecutorHealth) -> None:
        values = {**self._values(name=health.name, detail=health.detail), "now": stamp(health.seen_at)}
        values["usable"] = health.usable
        await self._write(lambda db: db.execute(sql.REPORT_HEALTH, values).rowcount)

    async def health(self) -> Mapping[str, ExecutorHealth]:
        return {row["name"]: a_health(row) for row in await self._read(sql.HEALTH, {})}

    async def lead(self, owner: str, *, over: str | None, until: datetime) -> bool:
        values = self._values(owner=owner, dead=over, until=stamp(until))
        return await self._write(lambda db: db.execute(sql.LEAD, values).fetchone() is not None)

    async def save_mode(
        self, owner: str, *, state: str, mode: Mode, cause: str, notice: str, channels: Sequence[str] = ()
    ) -> bool:
        values = self._values(owner=owner, state=state, mode=mode, cause=cause, kind="mode", text=notice)

        def unit(db: Connection) -> bool:
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

    async def mode(self) -> ModeMark:
        return a_mode((await self._read(sql.MODE, {}))[0])

    async def mode_changes(self, *, limit: int) -> Sequence[ModeChange]:
        return [a_change(row) for row in await self._read(sql.CHANGES, {"limit": limit})]
