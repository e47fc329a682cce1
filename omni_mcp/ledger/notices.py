"""What a notice writes, inside the transaction of what it tells: itself, and what each channel is owed for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.store import Connection
from omni_mcp.task import new_id


def write_notice(db: Connection, values: Mapping[str, Any], channels: Sequence[str]) -> None:
    """Write a notice and a delivery for each channel; what a channel is owed already is tried again before it.

    With a `told_at` there is nothing for the log to tell: it stands in its task.
    """
    notice = db.execute(sql.NEW_NOTICE, {"told_at": None, **values}).fetchone()["n"]
    for channel in channels:
        owed = {**values, "notice": notice, "channel": channel, "id": f"msg_{new_id()}"}
        db.execute(sql.HURRY, owed)
        db.execute(sql.NEW_DELIVERY, owed)
