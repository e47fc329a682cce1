"""The versions of the schema: numbered files, forward only, all in one transaction."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from omni_mcp.errors import LedgerTooNew
from omni_mcp.ledger.postgres.connection import Db, one
from omni_mcp.ledger.postgres.statements import ALONE, NEW_VERSION, THERE, VERSION


def migrate(db: Db) -> None:
    """Bring the schema to our version. Raises LedgerTooNew."""
    if _version(db) == newest_version():
        return
    with db.transaction():
        db.execute(ALONE)
        version = _version(db)
        if version > newest_version():
            raise LedgerTooNew(
                f"the ledger has version {version}, this release knows {newest_version()}",
                next_step="upgrade: pip install --upgrade 'omni-mcp[cluster]'",
            )
        if not version:
            db.execute(NEW_VERSION)
        for number in sorted(number for number in _migrations() if number > version):
            db.execute(_migrations()[number])
        db.execute("update schema_version set version = %s", (newest_version(),))


def _version(db: Db) -> int:
    """Return the version that is there; 0 when there is no ledger."""
    return one(db, VERSION)["version"] if one(db, THERE)["there"] else 0


@cache
def newest_version() -> int:
    """Return the version of a schema that this release writes."""
    return max(_migrations())


@cache
def _migrations() -> Mapping[int, bytes]:
    files: Iterable[Any] = resources.files("omni_mcp.ledger").joinpath("sql", "postgres").iterdir()
    return {int(file.name[:4]): file.read_bytes() for file in files if file.name.endswith(".sql")}
