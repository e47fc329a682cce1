"""Group commit: what is answered is on disk, what failed is not, and one caller's trouble is nobody else's."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import LedgerBusy, LedgerError, LedgerUnusable
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.ledger.writer import Work, Writer, understood
from tests.small_disk import fill

HOLD = """
import sys
from pathlib import Path
from omni_mcp.ledger.gate import WriteGate
with WriteGate(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def make_table(db: sqlite3.Connection) -> None:
    db.execute("create table if not exists lines (text text primary key)")


def put(text: str) -> Work[str]:
    def unit(db: sqlite3.Connection) -> str:
        db.execute("insert into lines values (?)", (text,))
        return text

    return unit


def end_the_transaction(db: sqlite3.Connection) -> None:
    db.execute("insert into lines values ('lost')")
    db.execute("rollback")


def be_interrupted(db: sqlite3.Connection) -> None:
    """Be cut off in the middle of a statement; SQLite then rolls the whole transaction back."""
    db.create_function("halt", 0, db.interrupt)
    db.execute("insert into lines with recursive n(i) as (select 1 union all select i + 1 from n) select halt() from n")


def lines(path: Path) -> Sequence[str]:
    """Return what is on disk, as another process sees it."""
    db = sqlite3.connect(path)
    try:
        return [text for (text,) in db.execute("select text from lines order by text")]
    finally:
        db.close()


@asynccontextmanager
async def writing(path: Path, *, patience: float = 5) -> AsyncGenerator[Writer]:
    """Open a writer on a table of lines."""
    writer = Writer(path, make_table, patience=patience)
    try:
        yield writer
    finally:
        await run_sync(writer.close)


async def in_one_batch(writer: Writer, *units: Work[object]) -> Sequence[object]:
    """Run the units in one transaction: they wait together while the writer is busy. Returns results and errors."""
    ended: list[object] = [None] * len(units)
    busy, free = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def occupy(_db: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(busy.set)
        free.wait(10)

    async def one(number: int, unit: Work[object]) -> None:
        try:
            ended[number] = await writer.do(unit)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            ended[number] = error

    async with anyio.create_task_group() as callers:
        callers.start_soon(writer.do, occupy)
        await busy.wait()
        for number, unit in enumerate(units):
            callers.start_soon(one, number, unit)
        await anyio.wait_all_tasks_blocked()
        free.set()
    return ended


async def test_an_answer_comes_after_the_commit(tmp_path: Path) -> None:
    async with writing(tmp_path / "l.db") as writer:
        assert await writer.do(put("one")) == "one"
        assert lines(tmp_path / "l.db") == ["one"]


async def test_units_that_wait_share_one_commit(tmp_path: Path) -> None:
    said: list[str] = []
    async with writing(tmp_path / "l.db") as writer:
        await writer.do(lambda db: db.set_trace_callback(said.append))
        await in_one_batch(writer, *[put(str(number)) for number in range(50)])
        await writer.do(lambda db: db.set_trace_callback(None))
    assert len(lines(tmp_path / "l.db")) == 50
    first, last = (next(n for n, text in enumerate(said) if f"'{i}'" in text) for i in (0, 49))
    assert "commit" not in said[first:last]


async def test_callers_of_one_moment_share_one_commit_and_nobody_pays_for_a_savepoint(tmp_path: Path) -> None:
    said: list[str] = []
    async with writing(tmp_path / "l.db") as writer:
        await writer.do(lambda db: db.set_trace_callback(said.append))
        said.clear()
        await asyncio.gather(*(writer.do(put(str(number))) for number in range(50)))
        assert [text for text in said if not text.startswith("insert")] == ["begin immediate", "commit"]
        await writer.do(lambda db: db.set_trace_callback(None))
    assert len(lines(tmp_path / "l.db")) == 50


async def test_a_unit_that_raises_undoes_only_itself(tmp_path: Path) -> None:
    def stumble(db: sqlite3.Connection) -> None:
        db.execute("insert into lines values ('half')")
        raise ValueError("stumbled")

    async with writing(tmp_path / "l.db") as writer:
        ended = await in_one_batch(writer, put("before"), stumble, put("after"))
    assert ended[0] == "before"
    assert isinstance(ended[1], ValueError)
    assert ended[2] == "after"
    assert lines(tmp_path / "l.db") == ["after", "before"]


async def test_a_refusal_of_the_database_is_an_error_of_the_house(tmp_path: Path) -> None:
    async with writing(tmp_path / "l.db") as writer:
        ended = await in_one_batch(writer, put("same"), put("same"), put("other"))
    assert ended[0] == "same"
    assert isinstance(ended[1], LedgerError)
    assert not isinstance(ended[1], LedgerUnusable)
    assert lines(tmp_path / "l.db") == ["other", "same"]


@pytest.mark.parametrize(
    ("end", "said"), [(end_the_transaction, "ended its transaction"), (be_interrupted, "interrupted")]
)
async def test_when_a_unit_ends_the_whole_transaction_the_others_are_written_once_and_answered_truly(
    end: Work[None], said: str, tmp_path: Path
) -> None:
    runs: list[str] = []

    def counted(text: str) -> Work[str]:
        return lambda db: (runs.append(text), put(text)(db))[1]

    async with writing(tmp_path / "l.db") as writer:
        ended = await in_one_batch(writer, counted("before"), end, counted("after"))
    assert ended[0] == "before"
    assert isinstance(ended[1], LedgerError)
    assert said in ended[1].message
    assert ended[2] == "after"
    assert lines(tmp_path / "l.db") == ["after", "before"]
    assert runs == ["before", "before", "before", "after"]


async def test_a_commit_that_fails_is_answered_to_nobody_as_done(tmp_path: Path) -> None:
    def break_the_commit(db: sqlite3.Connection) -> None:
        db.execute("pragma defer_foreign_keys = on")
        db.execute("create table if not exists parents (id integer primary key)")
        db.execute("create table if not exists children (id integer references parents)")
        db.execute("insert into children values (7)")

    async with writing(tmp_path / "l.db") as writer:
        ended = await in_one_batch(writer, put("before"), break_the_commit, put("after"))
    assert ended[0] == "before"
    assert isinstance(ended[1], LedgerError)
    assert ended[2] == "after"
    assert lines(tmp_path / "l.db") == ["after", "before"]


async def test_a_full_disk_fails_who_needs_the_room_and_nobody_else(tmp_path: Path) -> None:
    def swell(db: sqlite3.Connection) -> None:
        db.execute("insert into lines values (hex(zeroblob(4000000)))")

    async with writing(tmp_path / "l.db") as writer:
        await writer.do(lambda db: db.execute("pragma max_page_count = 20").fetchall())
        ended = await in_one_batch(writer, put("before"), swell, put("after"))
        assert ended[0] == "before"
        assert isinstance(ended[1], LedgerUnusable)
        assert "disk is full" in ended[1].message
        assert "free some space" in (ended[1].next_step or "")
        assert ended[2] == "after"
        await writer.do(swell)
    assert len(lines(tmp_path / "l.db")) == 3


async def test_on_a_full_disk_what_is_acknowledged_is_there_and_nothing_else(small_disk: Path) -> None:
    def swell(db: sqlite3.Connection) -> None:
        db.execute("insert into lines values (hex(zeroblob(2000000)))")

    async with writing(small_disk / "l.db") as writer:
        await writer.do(put("first"))
        await run_sync(fill, small_disk / "filler", 1_000_000)
        ended = await in_one_batch(writer, put("before"), swell, put("after"))
        written = lines(small_disk / "l.db")
        await run_sync((small_disk / "filler").unlink)
        await writer.do(swell)
    assert isinstance(ended[1], LedgerUnusable)
    assert "disk is full" in ended[1].message
    assert sorted(["first", *(said for said in ended if isinstance(said, str))]) == written
    assert ended[0] == "before"


async def test_a_cancelled_callers_write_stands(tmp_path: Path) -> None:
    async with writing(tmp_path / "l.db") as writer:
        begun, free = anyio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def slow(db: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(begun.set)
            free.wait(10)
            put("kept")(db)

        async with anyio.create_task_group() as callers:
            callers.start_soon(writer.do, slow)
            await begun.wait()
            callers.cancel_scope.cancel()
        free.set()
        await writer.do(put("next"))
        assert lines(tmp_path / "l.db") == ["kept", "next"]


async def test_a_unit_withdrawn_at_its_patience_never_runs_later(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "l.gate")]
    async with writing(tmp_path / "l.db", patience=0.2) as writer:
        await writer.do(put("before"))
        process = await run_sync(_holding, argv)
        try:
            with pytest.raises(LedgerBusy) as busy:
                await writer.do(put("withdrawn"))
        finally:
            await run_sync(_kill, process)
        assert busy.value.retryable
        assert "call again" in (busy.value.next_step or "")
        with anyio.fail_after(10):
            while not await _written(writer, "after"):
                pass
        assert lines(tmp_path / "l.db") == ["after", "before"]


async def _written(writer: Writer, text: str) -> bool:
    try:
        await writer.do(put(text))
    except LedgerBusy:
        return False
    return True


async def test_closing_waits_no_longer_than_our_patience_for_a_stuck_gate(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "l.db", make_table, patience=0.1)
    await writer.do(put("one"))
    gate = await run_sync(WriteGate, tmp_path / "l.gate")
    with gate.held():
        with pytest.raises(LedgerBusy):
            await writer.do(put("two"))
        with anyio.fail_after(5):
            await run_sync(writer.close)
    gate.close()
    assert lines(tmp_path / "l.db") == ["one"]


async def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "l.db", make_table)
    async with anyio.create_task_group() as callers:
        for number in range(20):
            callers.start_soon(writer.do, put(str(number)))
        await anyio.wait_all_tasks_blocked()
        await run_sync(writer.close)
    assert len(lines(tmp_path / "l.db")) == 20


async def test_a_file_that_could_not_be_opened_is_opened_by_a_later_call(tmp_path: Path) -> None:
    broken = True

    def migrate(db: sqlite3.Connection) -> None:
        if broken:
            raise ValueError("not today")
        make_table(db)

    writer = Writer(tmp_path / "l.db", migrate)
    with pytest.raises(ValueError, match="not today"):
        await writer.do(put("early"))
    broken = False
    await writer.do(put("late"))
    await run_sync(writer.close)
    assert lines(tmp_path / "l.db") == ["late"]


def test_a_caller_whose_loop_is_gone_hurts_nobody(tmp_path: Path) -> None:
    writer, free = Writer(tmp_path / "l.db", make_table), threading.Event()

    async def leave() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(db: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(begun.set)
            free.wait(10)
            put("kept")(db)

        task = asyncio.ensure_future(writer.do(slow))
        await begun.wait()
        task.cancel()

    asyncio.run(leave())
    free.set()
    asyncio.run(_put(writer, "next"))
    writer.close()
    assert lines(tmp_path / "l.db") == ["kept", "next"]


async def _put(writer: Writer, text: str) -> None:
    await writer.do(put(text))


@pytest.mark.parametrize(
    ("error", "kind", "step"),
    [
        (sqlite3.OperationalError("database is locked"), LedgerBusy, "close that program"),
        (sqlite3.OperationalError("database or disk is full"), LedgerUnusable, "free some space"),
        (sqlite3.OperationalError("attempt to write a readonly database"), LedgerUnusable, "writable"),
        (sqlite3.DatabaseError("file is not a database"), LedgerUnusable, "move it away"),
        (sqlite3.DatabaseError("database disk image is malformed"), LedgerUnusable, "restore a backup"),
        (sqlite3.OperationalError("disk I/O error"), LedgerUnusable, "integrity_check"),
        (PermissionError(13, "Permission denied", "/full/of/locked/doors"), LedgerUnusable, "writable"),
        (OSError(28, "No space left on device", "/x"), LedgerUnusable, "free some space"),
    ],
)
def test_each_trouble_of_the_disk_names_its_next_step(error: Exception, kind: type[LedgerError], step: str) -> None:
    meant = understood(error, Path("ledger.db"))
    assert isinstance(meant, kind)
    assert step in (meant.next_step or "")


def _holding(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.kill()
