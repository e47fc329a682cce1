"""The versions of the ledger file: numbered SQL files, forward only."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from omni_mcp.errors import LedgerOld, LedgerTooNew, LedgerUnusable
from omni_mcp.ledger.owners import HeldLock, holder, try_hold

MOVED = 1_000_000
"""The version of a file whose ledger is elsewhere: every release refuses it."""


def signpost(file: Path, place: str) -> None:
    """Write what stands where a ledger was: it tells whoever looks for it where it is."""
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("create table moved (place text not null) strict")
        db.execute("insert into moved values (?)", (place,))
        db.execute(f"pragma user_version = {MOVED}")


def migrate(db: sqlite3.Connection, engine_lock: Path | None = None) -> None:
    """Bring the file to our version, forward only. Raises LedgerTooNew; LedgerOld while an engine holds the lock."""
    db.row_factory = sqlite3.Row
    ours = _migrations()
    version = db.execute("pragma user_version").fetchone()[0]
    newest = newest_version()
    if version == MOVED:
        (there,) = db.execute("select place from moved").fetchone()
        raise LedgerUnusable(
            f"this ledger was moved to {there}",
            next_step="name that in OMNI_LEDGER, in the .env of the home; the password may be a variable there",
        )
    if version > newest:
        raise LedgerTooNew(
            f"the ledger has version {version}, this release knows {newest}",
            next_step="upgrade: pip install --upgrade omni-mcp",
        )
    with _alone(engine_lock) if 0 < version < newest and engine_lock is not None else nullcontext():
        for number in sorted(number for number in ours if number > version):
            db.executescript(f"begin immediate; {ours[number]}; pragma user_version = {number}; commit;")


def _alone(engine_lock: Path) -> HeldLock:
    held = try_hold(engine_lock)
    if held is None:
        raise LedgerOld(holder(engine_lock))
    return held


@cache
def newest_version() -> int:
    """Return the version of a ledger that this release writes."""
    return max(_migrations())


def _migrations() -> Mapping[int, str]:
    files: Iterable[Any] = resources.files("omni_mcp.ledger").joinpath("sql").iterdir()
    return {int(file.name[:4]): file.read_text(encoding="utf-8") for file in files if file.name.endswith(".sql")}
