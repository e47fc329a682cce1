"""What is PostgreSQL's own: a server that is away, refuses, freezes or is cut off in the middle, and secrets."""

import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from anyio.to_thread import run_sync

from omni_mcp.errors import BadRequest, LedgerBusy, LedgerError, LedgerTooNew, LedgerUnusable, OmniError
from omni_mcp.home import Home
from omni_mcp.ledger.base import KEPT, EngineMark, ExecutorHealth
from omni_mcp.ledger.opened import address, identity, open_ledger, the_file
from omni_mcp.ledger.postgres import connection, statements, writer
from omni_mcp.ledger.postgres.connection import connected
from omni_mcp.ledger.postgres.dialect import translated
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.store import PostgresLedger, PostgresStore
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.task import LOCAL, Choice, Task, TaskState, new_id
from omni_mcp.testing import START, FakeExecutor, a_spec, engine_for
from tests.integration.house import until
from tests.postgres import PASSWORD, Server, a_server

pytestmark = pytest.mark.postgres
SOON = 30
"""Seconds in which a told limit of a second has to be over."""


@pytest.fixture
def place(postgres: Server) -> str:
    """An empty ledger."""
    postgres.execute("drop schema if exists own cascade; create schema own")
    return postgres.url(schema="own")


async def submitted(ledger: SqlLedger, **changes: Any) -> Task:
    return (await ledger.submit(a_spec(**changes), task_id=new_id(), choice=None)).task


async def refused(url: str, kind: type[OmniError], sign: str, *, reads: bool = False) -> OmniError:
    """Return the error that writing, and with `reads` not reading, raises; it gives away no password."""
    async with PostgresLedger(url) as ledger:
        with pytest.raises(kind, match=sign) as error:
            await submitted(ledger)
        if reads:
            await ledger.counts()
        else:
            with pytest.raises(kind, match=sign) as error:
                await ledger.counts()
    assert error.value.next_step
    assert "secret" not in f"{error.value!r} {error.value.__cause__!r}"
    return error.value


# what cannot hold a ledger


async def test_a_server_that_is_not_there_is_named_without_the_password():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://me:my%2Dsecret@127.0.0.1:{nobody.getsockname()[1]}/db"
        error = await refused(url, LedgerUnusable, "nobody listens there")
    assert "postgresql://me:***@127.0.0.1" in str(error)
    assert error.retryable, "it may come back"


@pytest.mark.parametrize(
    ("url", "sign"),
    [
        ("postgresql://{user}:wrong-secret@127.0.0.1:{port}/ledgers", "the password is wrong"),
        ("postgresql://{user}:{password}@127.0.0.1:{port}/nowhere", "no such database"),
        ("postgresql://{user}:a-secret@127.0.0.1:none/ledgers", "OMNI_LEDGER cannot be read"),
        ("postgresql://{user}:{password}@127.0.0.1:{port}/ledgers?options=-csearch_path%3Dnone", "no schema"),
    ],
)
async def test_an_address_that_leads_nowhere_is_refused_with_the_reason(url: str, sign: str, postgres: Server):
    error = await refused(url.format(user="omni", password=PASSWORD, port=postgres.port), LedgerUnusable, sign)
    assert not error.retryable


async def test_a_server_that_is_too_old_is_refused(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "OLDEST", 99)
    await refused(place, LedgerUnusable, "too old")


async def test_a_read_only_server_is_read_but_not_written(place: str):
    async with PostgresLedger(place) as ledger:
        await submitted(ledger)
    await refused(f"{place}%20-cdefault_transaction_read_only%3Don", LedgerUnusable, "read-only", reads=True)


async def test_a_ledger_of_a_newer_release_is_left_alone(place: str, postgres: Server):
    async with PostgresLedger(place) as ledger:
        task = await submitted(ledger)
    await run_sync(postgres.execute, "update own.schema_version set version = version + 99")
    await refused(place, LedgerTooNew, "this release knows")
    await run_sync(postgres.execute, "update own.schema_version set version = version - 99")
    async with PostgresLedger(place) as ledger:
        assert (await ledger.find(task.id, principal=LOCAL)).state is TaskState.IDLE


async def test_text_that_has_a_nul_or_half_a_character_is_kept_as_far_as_it_goes(place: str):
    async with PostgresLedger(place) as ledger:
        task = await submitted(ledger, description="a\0b\udc80c%d:n''")
        assert (await ledger.find(task.id, principal=LOCAL)).spec.description == "a␀b?c%d:n''"


# what happens in the middle


async def test_after_a_crash_of_the_server_what_was_acknowledged_is_there_and_work_goes_on():
    config = "listen_addresses = '127.0.0.1'"
    with a_server(config=config) as server:
        async with PostgresLedger(server.url()) as ledger:
            ids = {(await submitted(ledger)).id for _ in range(5)}
            seen = await ledger.watermark()
            await run_sync(server.stop, "immediate")
            for call in (partial(submitted, ledger), ledger.counts):
                with pytest.raises(LedgerUnusable):
                    await call()
            await run_sync(server.start)
            assert {task.id for task in await ledger.claimable(limit=10)} == ids
            ids.add((await submitted(ledger)).id)
            assert await ledger.changed(seen, timeout=timedelta(seconds=SOON))
            assert {task.id for task in await ledger.claimable(limit=10)} == ids


class Cut:
    """A way to the server that can be cut: what is sent then arrives nowhere, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listens.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self._ends: list[socket.socket] = [self._listens]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listens.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._carry, args=ends, daemon=True))
                    self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Take the way apart."""
        self.open.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(SOON)


@contextmanager
def a_cut(port: int) -> Generator[Cut]:
    """Open a way."""
    cut = Cut(port)
    try:
        yield cut
    finally:
        cut.close()


async def test_while_the_network_is_cut_callers_are_told_in_time_and_afterwards_it_goes_on(
    place: str, postgres: Server
):
    with a_cut(postgres.port) as cut:
        url = place.replace(f":{postgres.port}/", f":{cut.port}/")
        async with PostgresLedger(url, patience=3) as ledger:
            before = await submitted(ledger)
            cut.open.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(quietly, ledger)  # on its way when it is cut
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(SOON):
                    with pytest.raises(LedgerBusy, match="nothing was written") as error:
                        await submitted(ledger, description="waited behind it")
                assert error.value.retryable
                cut.open.set()
            await submitted(ledger)
            told = {task.spec.description for task in await ledger.claimable(limit=10)}
            assert "waited behind it" not in told
            assert await ledger.find(before.id, principal=LOCAL)


async def quietly(ledger: PostgresLedger) -> None:
    with suppress(LedgerError):
        await submitted(ledger, description="on its way")


async def test_a_frozen_holder_of_the_gate_loses_it_on_the_server(place: str, monkeypatch: pytest.MonkeyPatch):
    async with PostgresLedger(place) as ledger:
        await submitted(ledger)
        limit = "idle_in_transaction_session_timeout = "
        assert f"{limit}'4s'" in connection.SESSION
        monkeypatch.setattr(connection, "SESSION", connection.SESSION.replace(f"{limit}'4s'", f"{limit}'300ms'"))
        frozen = await run_sync(partial(connected, Place(place), writes=True))
        try:
            await run_sync(lambda: frozen.execute(f"begin; {statements.GATE}"))
            await run_sync(lambda: frozen.execute("update modes set state = 'half'"))
            with anyio.fail_after(SOON):
                await submitted(ledger)
            assert (await ledger.mode()).state is None
            with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
                await run_sync(lambda: frozen.execute("commit"))
        finally:
            frozen.close()


@contextmanager
def lost_answers(monkeypatch: pytest.MonkeyPatch, *, arrives: bool) -> Generator[list[str]]:
    """Have the next commit that a writer sends go out, or not, and its answer be lost."""
    lost: list[str] = []

    def opened(place: Place, *, writes: bool) -> connection.Db:
        db = connected(place, writes=writes)
        plain = db.execute

        def execute(query: Any, *values: Any, **more: Any) -> Any:
            if query == "commit" and not lost:
                lost.append(query)
                if arrives:
                    plain(query)
                db.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return plain(query, *values, **more)

        monkeypatch.setattr(db, "execute", execute)
        return db

    with monkeypatch.context() as patched:
        patched.setattr(writer, "connected", opened)
        yield lost


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up_and_never_done_twice(
    arrives: bool, place: str, monkeypatch: pytest.MonkeyPatch
):
    with lost_answers(monkeypatch, arrives=arrives) as lost:
        async with PostgresLedger(place) as ledger:
            await ledger.counts()
            if arrives:
                task = await submitted(ledger)
                assert (await ledger.find(task.id, principal=LOCAL)).state is TaskState.IDLE
            else:
                with pytest.raises(LedgerUnusable, match="nothing was written"):
                    await submitted(ledger)
            assert lost == ["commit"]
            assert await ledger.counts() == ({TaskState.IDLE: 1} if arrives else {})
            await submitted(ledger)


async def test_a_commit_of_which_nobody_can_say_what_became_is_told_as_unknown(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer, "LIMIT", 0.0)
    with lost_answers(monkeypatch, arrives=True):
        async with PostgresLedger(place) as ledger:
            await ledger.counts()
            with pytest.raises(LedgerUnusable, match="outcome unknown") as error:
                await submitted(ledger)
            assert "idempotency_key" in (error.value.next_step or "")
            assert not error.value.retryable


async def test_a_process_that_stood_still_in_the_middle_writes_on_a_new_connection(place: str, postgres: Server):
    cuts = [1]

    def unit(db: Any) -> str:
        assert db.execute("update modes set state = coalesce(state, '') || 'x'").rowcount == 1
        if cuts:
            cuts.pop()
            ends = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
            postgres.execute(ends)
        return db.execute("select state from modes").fetchone()["state"]

    store = PostgresStore(Place(place), connection.Here(home="h", machine="m"), patience=SOON)
    try:
        assert await store.write(unit) == "x"
        assert (await store.read("select state from modes", {}))[0]["state"] == "x"
    finally:
        await store.close()


async def test_a_refused_unit_takes_nothing_of_the_others_with_it(place: str):
    async with PostgresLedger(place) as ledger:
        taken = await submitted(ledger, idempotency_key="k")
        ends: list[object] = []

        async def one(number: int) -> None:
            try:
                key = "k" if number == 5 else None
                ends.append(await submitted(ledger, description=f"n{number}", idempotency_key=key))
            except OmniError as error:
                ends.append(error)

        async with anyio.create_task_group() as callers:
            for number in range(10):
                callers.start_soon(one, number)
        assert sum(isinstance(end, Task) for end in ends) == 9
        assert await ledger.counts() == {TaskState.IDLE: 10}
        assert await ledger.find(taken.id, principal=LOCAL)


# which ledger a home has


async def test_a_home_says_why_it_has_no_ledger_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = Home(tmp_path)
    wrong = {"mysql://me:a-secret@x/y": "no PostgreSQL", "postgresql://${NOBODY_SET_IT}/x": "NOBODY_SET_IT"}
    for said, sign in wrong.items():
        monkeypatch.setenv("OMNI_LEDGER", said)
        ledger = await run_sync(open_ledger, home)
        async with ledger:
            for call in (partial(submitted, ledger), ledger.counts, ledger.watermark):
                with pytest.raises(LedgerUnusable, match=sign) as error:
                    await call()
                assert "secret" not in str(error.value)


def test_an_address_may_stand_in_the_home_and_leave_its_password_to_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OMNI_LEDGER", raising=False)
    home = Home(tmp_path)
    assert address(home) is None
    assert the_file(home) == home.ledger
    home.dotenv.write_text("OMNI_LEDGER='postgresql://me:${WORD}@db/x'\nWORD=w\n")
    assert address(home) == "postgresql://me:w@db/x"
    with pytest.raises(BadRequest, match="for the ledger in a file"):
        the_file(home)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("postgresql://me:p%40ss@h:1/d?sslmode=require", "postgresql://me:***@h:1/d?sslmode=require"),
        ("postgresql://me:p#a?s/s:p@ss@h/d", "postgresql://me:***@h/d"),
        ("postgresql://h/d?user=me&password=pass", "postgresql://h/d?user=me&password=***"),
    ],
)
def test_an_address_is_told_without_its_password(url: str, told: str):
    assert str(Place(url)) == told
    assert "pass" not in f"{Place(url)!r}".replace("password=***", "")


def test_a_statement_is_bound_by_name_with_its_type_and_quoted_text_is_left_alone():
    said = "select ':n', '100%' from t where n = :n and a::text = :id and +state in (select value from json_each(:ids))"
    assert translated(said) == (
        "select ':n', '100%%' from t where n = %(n)s::bigint and a::text = %(id)s::text and state in"
        " (select value from json_array_elements_text(%(ids)s::text::json) as _ (value))"
    )


# several homes


@asynccontextmanager
async def homes(place: str) -> AsyncGenerator[tuple[PostgresLedger, PostgresLedger]]:
    """Open the ledger as two machines do."""
    async with PostgresLedger(place, home=Path("/a"), machine="a") as a:
        async with PostgresLedger(place, home=Path("/b"), machine="b") as b:
            yield a, b


def a_mark(owner: str) -> EngineMark:
    return EngineMark(owner=owner, pid=1, version="1", log="log", address="127.0.0.1:1", started_at=START)


async def test_homes_at_the_same_place_of_machines_of_one_name_are_not_the_same_home(place: str, tmp_path: Path):
    a, b = Home(tmp_path / "a"), Home(tmp_path / "b")
    here, there = [await run_sync(identity, home) for home in (a, b)]
    assert await run_sync(identity, a) == here != there
    async with PostgresLedger(place, identity=here) as one, PostgresLedger(place, identity=there) as other:
        await one.announce(a_mark("of one"))
        await one.renew("of one")
        assert await other.engine() is None
        assert not await other.bury("of one")
        assert await one.bury("of one")


async def test_each_home_sees_its_own_engine_and_the_health_that_it_saw(place: str):
    async with homes(place) as (a, b):
        await a.announce(a_mark("of a"))
        await a.report_health(ExecutorHealth(name="e", usable=False, detail="broken", seen_at=START))
        assert await b.engine() is None
        assert await b.health() == {}
        await b.announce(a_mark("of b"))
        for ledger, owner in ((a, "of a"), (b, "of b")):
            mark = (await ledger.submit(a_spec(), task_id=new_id(), choice=None)).engine
            assert mark is not None
            assert mark.owner == owner
        assert not (await a.health())["e"].usable
        await b.report_health(ExecutorHealth(name="e", usable=True, detail="1", seen_at=START))
        assert not (await a.health())["e"].usable
        assert await a.retire("of a", only_if_idle=False)
        mark = await b.engine()
        assert mark is not None
        assert mark.there


async def test_a_task_with_a_folder_is_for_the_machine_that_has_it_or_the_one_that_was_named(place: str):
    async with homes(place) as (a, b):
        anywhere = await submitted(a)
        here = await submitted(a, cwd="/somewhere")
        there = await submitted(a, cwd="/somewhere", options={"machine": "b"})
        assert {task.id for task in await a.claimable(limit=9)} == {anywhere.id, here.id}
        assert {task.id for task in await b.claimable(limit=9)} == {anywhere.id, there.id}


async def test_what_a_run_left_on_a_machine_is_gone_on_with_there_until_that_is_forgotten(place: str):
    async with homes(place) as (a, b):
        for stays in (True, False):
            task = await submitted(a)
            await a.begin(task.id, owner="of a")
            choice = Choice(executor="e", requested="e", model=None, reason="")
            bound: dict[str, Any] = {"attempt": 1, "owner": "of a", "choice": choice, "endpoint": "none", "run_id": "r"}
            await a.bind(task.id, **bound, stays=stays)
            await a.release(task.id, attempt=1, owner="of a", text="its engine died")
            assert [found.id for found in await a.claimable(limit=9)] == [task.id]
            assert [found.id for found in await b.claimable(limit=9)] == ([] if stays else [task.id])
            await a.begin(task.id, owner="of a")
            await a.release(task.id, attempt=2, owner="of a", text="it is over", over=True)
            assert [found.id for found in await b.claimable(limit=9)] == [task.id]
            await a.request_cancel(task.id, reason=None)


async def test_an_engine_of_another_home_is_over_when_its_lease_is_by_the_clock_of_the_server(
    place: str, postgres: Server
):
    async with homes(place) as (a, b):
        task = await submitted(a)
        assert await a.begin(task.id, owner="of a")
        assert not await b.bury("of a")
        await run_sync(postgres.execute, "update own.owners set beat_until = own.server_now() - 9000000")
        assert not await b.bury("of a")  # its lease is over, the grace is not
        await run_sync(postgres.execute, "update own.owners set beat_until = own.server_now() - 11000000")
        later = await submitted(a)
        assert await b.bury("of a")
        assert await a.begin(later.id, owner="of a") is None  # it is proven dead: it takes nothing new
        assert await a.renew("of a") == []  # and holds nothing any more
        await b.release(task.id, attempt=1, owner="of a", text="its engine died")
        assert (await b.find(task.id, principal=None)).state is TaskState.IDLE
        assert await a.begin(later.id, owner="of a")  # it has let go, and may begin anew
        assert not await b.bury("of a")
        assert await b.bury("nobody")


async def test_of_its_own_home_a_lock_says_at_once_who_is_over(place: str):
    async with homes(place) as (a, _b):
        task = await submitted(a)
        assert await a.begin(task.id, owner="of a")
        assert await a.bury("of a")
        assert await a.renew("of a") == []
        assert await a.renew("of a") == [task.id]


async def test_an_engine_that_cannot_renew_stops_its_runs_before_others_may_take_them_over(place: str, tmp_path: Path):
    now = [1000.0]
    async with PostgresLedger(place, home=tmp_path, machine="a") as ledger:
        fake = FakeExecutor(held=True)
        engine = engine_for(ledger, fake, home=tmp_path, uptime=lambda: now[0], kept_at=now[0])
        await submitted(ledger)
        async with anyio.create_task_group() as attempts:
            assert await engine.step(attempts)
            await fake.begun()
            now[0] += KEPT.total_seconds() - 1
            engine.stop_unkept()
            await anyio.wait_all_tasks_blocked()
            assert engine.running
            now[0] += 2
            engine.stop_unkept()
            await until(lambda: not engine.running, limit=SOON)
            (held,) = await ledger.held()
            assert held.state is TaskState.EXECUTING  # it wrote nothing: that is for whoever takes over
