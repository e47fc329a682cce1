"""What holds for one ledger holds for each: modules with `LEDGERS` run on every kind that there is.

`LEDGERS = "all"`: in `make test`; `"slow"`: those on PostgreSQL are left to `make test-slow`. A test of such a module
that is about SQLite's file is marked `sqlite`.
"""

# pytest leaves the type of a module out
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.task import Clock
from tests.postgres import Server, a_server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of ledgers on both."""
    module: Any = metafunc.module
    how: str | None = getattr(module, "LEDGERS", None)
    if how is not None and not metafunc.definition.get_closest_marker("sqlite"):
        marks = (pytest.mark.postgres, pytest.mark.slow) if how == "slow" else pytest.mark.postgres
        kinds = ["sqlite", pytest.param("postgres", marks=marks)]
        metafunc.parametrize("ledger_kind", kinds, indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Generator[Server]:
    """A server for all tests of this process."""
    with a_server() as server:
        yield server


@pytest.fixture(autouse=True)
def ledger_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """Have `ledger_for_tests` open ledgers of this kind: on PostgreSQL one of two schemas stands for a folder."""
    kind: str = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        yield kind
        return
    from omni_mcp.ledger.postgres.store import PostgresLedger

    server: Server = request.getfixturevalue("postgres")
    schemas = ("first", "second")
    folders: list[Path] = []

    def opened(path: Path, *, clock: Clock | None = None) -> PostgresLedger:
        if path not in folders:
            folders.append(path)
        return PostgresLedger(server.url(schema=schemas[folders.index(path)]), clock=clock)

    for schema in schemas:
        server.execute(f"drop schema if exists {schema} cascade; create schema {schema}")
    monkeypatch.setattr("omni_mcp.testing.SqliteLedger", opened)
    yield kind
