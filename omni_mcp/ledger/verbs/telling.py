"""Notices, and the outbox that they go out by."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import Delivery, Notice
from omni_mcp.ledger.notices import write_notice
from omni_mcp.ledger.rows import a_delivery, a_notice, maybe_stamp, moment, stamp, to_json
from omni_mcp.ledger.store import Connection
from omni_mcp.ledger.verbs.part import Part


class Telling(Part):
    """Notices and their deliveries."""

    async def told(self, notice: int) -> bool:
        values = self._values(n=notice)
        return await self._write(lambda db: db.execute(sql.TOLD, values).rowcount == 1)

    async def give_notice(self, *, kind: str, text: str, channels: Sequence[str], unless_since: datetime) -> bool:
        values = self._values(kind=kind, text=text, data=None, since=stamp(unless_since))

        def unit(db: Connection) -> bool:
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

    async def last_deliveries(self) -> Sequence[Delivery]:
        return [a_delivery(row) for row in await self._read(sql.LAST_DELIVERIES, {})]
