"""What the verbs need of a database: units of work that are written as one, statements that are read, and a watermark.

A store knows a database and no verb; the verbs know SQL and no database.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from omni_mcp.ledger.base import Watermark

T = TypeVar("T")
Values = Mapping[str, Any]


class Row(Protocol):
    """A row of a result: its columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        ...


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None when there is none."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """Return the rows that are left."""
        ...


class Connection(Protocol):
    """A connection inside a transaction: what a unit of work writes with. Blocks. Values are bound by `:name`."""

    def execute(self, statement: str, values: Values = ..., /) -> Cursor:
        """Run a statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Values], /) -> Any:
        """Run a statement once for each of the values."""
        ...


Work = Callable[[Connection], T]
"""A unit of work: it is written whole or not at all, and may be run again where that left nothing behind."""


class Store(Protocol):
    """A database that holds a ledger. All raise `LedgerBusy` or `LedgerUnusable` when it says no."""

    shared: bool
    """Whether engines of several homes may work on it."""

    async def write(self, work: Work[T]) -> T:
        """Run a unit of work in a transaction; returns its result once that is durable."""
        ...

    async def read(self, statement: str, values: Values) -> Sequence[Row]:
        """Return the rows of a statement that writes nothing; never waits for who writes."""
        ...

    async def read_aside(self, statement: str, values: Values) -> Sequence[Row]:
        """As `read`, for what takes long: where a store can, nobody waits behind it."""
        return await self.read(statement, values)

    async def watermark(self) -> Watermark:
        """Return where the ledger stands."""
        ...

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        """Return when anything was written since, by this process or another; False at the timeout."""
        ...

    def look(self) -> None:
        """Have `changed` look at once for what other processes wrote."""
        ...

    async def close(self) -> None:
        """Write what waits, and let go of the database."""
        ...
