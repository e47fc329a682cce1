"""Copies of a ledger: one out of the home while it is in use, one into it while no engine runs. Blocks."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from omni_mcp.errors import BadRequest, EngineRunning, LedgerError
from omni_mcp.home import Home
from omni_mcp.ledger import schedule_statements
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.check import check
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.ledger.migrations import migrate
from omni_mcp.ledger.opened import the_file
from omni_mcp.ledger.owners import HeldLock, holder, try_hold
from omni_mcp.ledger.rows import stamp
from omni_mcp.ledger.writer import understood
from omni_mcp.views.ledger import CheckView, CopyView

RESTORED = "restored from a backup, so it may have run since; resume_pending with this task_id runs it (again)"
"""What every task says that was open in a backup."""
NOT_MADE_UP = "restored from a backup: what was due since may have run, so nothing of it is made up"
"""What every schedule says then."""


def soundness(path: Path) -> CheckView:
    """Say how sound a ledger is. Raises LedgerError."""
    found = check(path)
    return CheckView(path=str(path), version=found.version, tasks=found.tasks, problems=list(found.problems))


def backup(home: Home, file: Path) -> CopyView:
    """Copy the ledger as it is at one moment, while others work on it, and check the copy. Raises LedgerError."""
    if file.exists():
        raise BadRequest(f"{file} is there already", next_step="name a new file, or remove that one")
    part = file.with_name(f"{file.name}.part")
    with _whole_or_gone(part):
        found = _copied(the_file(home), part)
        part.replace(file)
    return CopyView(path=str(file), tasks=found.tasks, text="a whole ledger; omni-mcp restore brings it back")


def restore(home: Home, file: Path) -> CopyView:
    """Put a copy into the place of the ledger, which is kept beside it. Raises EngineRunning, LedgerError.

    What was open in the copy waits for consent: nobody knows what it did since, so nothing runs twice by itself.
    """
    ledger = the_file(home)
    with ExitStack() as locks:
        for path in (home.engine_start, home.engine_lock):
            locks.enter_context(_held(path))
        staged = ledger.with_name(f"{ledger.name}.restoring")
        with _whole_or_gone(staged):
            found = _copied(file, staged)
            count = _ask_all(staged)
        kept = _swap(ledger, staged)  # from here on the copy may be all that the home has
    told = f"the ledger before is {kept}; " if kept else ""
    return CopyView(path=str(ledger), tasks=found.tasks, text=f"{told}{count} open tasks wait for consent")


def _held(path: Path) -> HeldLock:
    held = try_hold(path)
    if held is None:
        raise EngineRunning(holder(path))
    return held


@contextmanager
def _whole_or_gone(part: Path) -> Generator[None]:
    """Leave no half of a copy when the body breaks off, for whatever reason."""
    try:
        yield
    except BaseException:
        for end in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                part.with_name(part.name + end).unlink(missing_ok=True)
        raise


def _copied(source: Path, target: Path) -> CheckView:
    """Copy a ledger into one file without a log beside it. Raises LedgerError when either is not sound."""
    before = soundness(source)
    if before.problems:
        raise LedgerError(f"{source} is not sound: {before.problems[0]}", next_step=f"omni-mcp check {source}")
    try:
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                reader.backup(writer)
                writer.execute("pragma journal_mode = delete")
    except (sqlite3.Error, OSError) as error:
        raise understood(error, target) from error
    return soundness(target)


def _ask_all(path: Path) -> int:
    """Bring a copy to our version and let everything open in it wait for consent; returns how many tasks."""
    values = {"now": stamp(datetime.now(UTC)), "text": RESTORED}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db)
        db.execute("begin immediate")
        db.execute(sql.END_OPEN_ATTEMPTS, values)
        count = db.execute(sql.ASK_ALL, values).rowcount
        db.execute(schedule_statements.BEGIN_ANEW, {**values, "said": NOT_MADE_UP})
        db.execute("commit")
    return count


def _swap(ledger: Path, staged: Path) -> Path | None:
    """Move the ledger aside, what is in its log brought in before, and the copy into its place, while nobody writes."""
    gate = WriteGate(ledger.with_suffix(".gate"))
    try:
        with gate.held():
            return replace(ledger, staged)
    finally:
        gate.close()


def replace(ledger: Path, staged: Path) -> Path | None:
    """Put a file into the place of a ledger while the gate is held; returns where the ledger before is kept."""
    kept = ledger.with_name(f"{ledger.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    there = ledger.exists()
    if there:
        _bring_in_the_log(ledger)
    for end in ("", "-wal", "-shm"):
        _move(ledger.with_name(ledger.name + end), kept.with_name(kept.name + end))
    _put_in_place(staged, ledger)
    return kept if there else None


def _put_in_place(staged: Path, ledger: Path) -> None:
    try:
        staged.replace(ledger)
    except OSError as error:
        raise LedgerError(
            f"the copy is whole, but cannot be put in place: {error}",
            next_step=f"mv {quote(str(staged))} {quote(str(ledger))}",
        ) from error


def _bring_in_the_log(ledger: Path) -> None:
    """Write what is in the log into the file itself: a kill in the middle of the move must not part the two."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("pragma wal_checkpoint(truncate)")


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.replace(target)
