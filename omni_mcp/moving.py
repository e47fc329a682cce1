"""Move a ledger from its file into PostgreSQL: whole or not at all, and nobody goes on with the old one.

What an engine held when it stopped stays as it is, so the next engine does with it what it does after any restart.
"""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg

from omni_mcp import archive
from omni_mcp.errors import BadRequest, EngineRunning
from omni_mcp.home import Home
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.ledger.migrations import migrate, signpost
from omni_mcp.ledger.opened import expanded
from omni_mcp.ledger.owners import HeldLock, holder, try_hold
from omni_mcp.ledger.postgres.connection import connected
from omni_mcp.ledger.postgres.copying import copied
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.troubles import understood
from omni_mcp.ledger.writer import understood as understood_of_file
from omni_mcp.settings import known_variables
from omni_mcp.this_machine import label
from omni_mcp.views.ledger import CopyView


def move(home: Home, to: str) -> CopyView:
    """Copy all of a home's ledger into an empty database, check it, and mark the file. Raises OmniError.

    No engine may run, and no face writes meanwhile: who tries waits, and is then told that the file was replaced.
    """
    place = Place(expanded(home, to))
    if not home.ledger.is_file():
        raise BadRequest(f"there is no ledger at {home.ledger}", next_step="set OMNI_LEDGER: there is nothing to move")
    with ExitStack() as held:
        for path in (home.engine_start, home.engine_lock):
            held.enter_context(_held(path))
        gate = held.enter_context(closing(WriteGate(home.ledger.with_suffix(".gate"))))
        held.enter_context(gate.held())
        try:
            tasks = _moved(home, place)
        except psycopg.Error as error:
            raise understood(error, place) from None  # what libpq said may repeat the password
        except sqlite3.Error as error:
            raise understood_of_file(error, home.ledger) from error
        post = home.ledger.with_name(f"{home.ledger.name}.moved")
        signpost(post, str(place))
        kept = archive.replace(home.ledger, post)
    told = (
        f"the file is kept as {kept} and used no more; put OMNI_LEDGER={place} into {home.dotenv}, as you gave it here"
    )
    return CopyView(path=str(place), tasks=tasks, text=told)


def _moved(home: Home, place: Place) -> int:
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as source:
        migrate(source)
        with connected(place, writes=True) as target:
            return copied(source, target, label(known_variables(home)))


def _held(path: Path) -> HeldLock:
    held = try_hold(path)
    if held is None:
        raise EngineRunning(holder(path))
    return held
