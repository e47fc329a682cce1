"""Several homes, as machines of a team have them, work on one PostgreSQL ledger: faces and engines as processes."""

import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.to_thread import run_sync
from fastmcp import Client

from tests.integration.house import House, call, ended, house, refused, until
from tests.integration.redis_server import RedisServer, needs_redis, redis_server
from tests.postgres import PASSWORD, Server, a_server

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgres() -> Generator[Server]:
    with a_server() as server:
        yield server


@dataclass(frozen=True)
class Team:
    """Two machines and their ledger."""

    a: House
    b: House
    server: Server
    schema: str

    @property
    def word(self) -> Path:
        """The file that the tasks of `until` wait for."""
        return self.a.home.root.parent.parent / "word"


@asynccontextmanager
async def team(tmp_path: Path, server: Server, *more: str) -> AsyncGenerator[Team]:
    """Open two homes; each has its address from its own .env, with the password as a variable, and `more` lines."""
    schema = await run_sync(server.schema_of, tmp_path)
    url = server.url(schema=schema, password="${LEDGER_WORD}")
    async with AsyncExitStack() as stack:
        houses: dict[str, House] = {}
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            here = await stack.enter_async_context(house(tmp_path / name))
            lines = (f"OMNI_LEDGER='{url}'", f"LEDGER_WORD={PASSWORD}", f"OMNI_MACHINE={name}", *more)
            here.home.dotenv.write_text("\n".join(lines))
            here.configure(
                executors={
                    "echo": here.workshop(recovery="retry"),
                    "until": here.workshop("until", argument="path", recovery="retry"),
                },
                limits={"engine_idle_seconds": 600},
            )
            houses[name] = here
        yield Team(houses["a"], houses["b"], server, schema)


async def test_what_one_machine_is_asked_another_may_do_and_each_face_tells_of_all(
    tmp_path: Path, postgres: Server
) -> None:
    async with team(tmp_path, postgres) as there, there.a.client() as a, there.b.client() as b:
        said = await call(a, "submit_task", description="hello", type="echo")
        assert (await ended(b, said["task_id"]))["state"] == "completed"
        placed = await call(a, "submit_task", description="on b", type="echo", options={"machine": "b"})
        assert (await ended(a, placed["task_id"]))["state"] == "completed"
        assert "on b" in {line["text"] for line in there.b.logged()}
        assert "on b" not in {line["text"] for line in there.a.logged()}
        again = await call(b, "submit_task", description="hello", type="echo", idempotency_key="k")
        same = await call(a, "submit_task", description="hello", type="echo", idempotency_key="k")
        assert same["task_id"] == again["task_id"]
        assert same["deduplicated"]
        logs = [path.read_text() for home in (there.a, there.b) for path in home.home.root.rglob("*.log")]
        assert all(PASSWORD not in log for log in logs)
        code, told = await there.a.cli("backup", str(tmp_path / "copy.db"))
        assert code != 0
        assert "pg_dump" in told
        code, told = await there.a.cli("doctor")
        assert "OMNI_LEDGER answers" in told
        assert not there.a.home.ledger.exists()


async def test_the_tasks_of_a_machine_that_died_are_taken_over_when_its_lease_is_over_and_run_once(
    tmp_path: Path, postgres: Server
) -> None:
    async with team(tmp_path, postgres) as there:
        async with there.a.client() as a:
            wanted = {"description": str(there.word), "type": "until", "options": {"machine": None}}
            task_id = (await call(a, "submit_task", **wanted))["task_id"]
            await until(there.a.logged)
            pid = await there.a.engine_pid()
        os.kill(pid, signal.SIGKILL)  # and its face is gone: nobody there starts another
        async with there.b.client() as b:
            await call(b, "submit_task", description="b is up", type="echo", wait_seconds=30)
            assert (await call(b, "task_status", task_id=task_id))["state"] == "executing"
            assert not [line for line in there.b.logged() if line["tool"] == "until"]
            over = f"update {there.schema}.owners set beat_until = 0 where home like '%/a/home:%'"
            await run_sync(there.server.execute, over)
            await until(lambda: [line for line in there.b.logged() if line["tool"] == "until"])
            there.word.touch()
            assert (await ended(b, task_id))["state"] == "completed"
        done = [line for home in (there.a, there.b) for line in home.logged() if line["tool"] == "until done"]
        assert len(done) == 1


@needs_redis
async def test_a_face_without_an_engine_has_that_of_another_machine_work_and_rings_it_through_redis(
    tmp_path: Path, postgres: Server
) -> None:
    async with redis_server(tmp_path) as redis, team(tmp_path, postgres, f"OMNI_DISPATCH={redis.url}") as there:
        async with there.a.served("--no-engine") as face, Client(face.url) as a, httpx2.AsyncClient() as http:
            assert (await http.get(f"{face.base}/readyz")).json() == {"ledger": True, "engine": True}
            error = await refused(a, "submit_task", description="in a folder", type="echo", cwd=str(tmp_path))
            assert "no engine works on this machine" in error["message"]
            early = await call(a, "submit_task", description="early", type="echo")
            async with there.b.client() as b:
                await call(b, "submit_task", description="b is up", type="echo", wait_seconds=30)
                assert (await ended(a, early["task_id"]))["state"] == "completed"
                before = await redis.executed()
                late = await call(a, "submit_task", description="late", type="echo")
                assert (await ended(a, late["task_id"]))["state"] == "completed"
                await until(lambda: _more(redis, before))
            assert [line["text"] for line in there.a.logged()] == []
            assert not [path for path in there.a.home.root.rglob("*.log") if PASSWORD in path.read_text()]


async def _more(redis: RedisServer, before: int) -> bool:
    return await redis.executed() > before


async def test_a_face_without_its_server_starts_and_says_what_to_do(tmp_path: Path, postgres: Server) -> None:
    async with house(tmp_path) as here:
        here.home.dotenv.write_text("OMNI_LEDGER=postgresql://me:no-secret@127.0.0.1:9/ledger")
        here.configure(executors={"echo": here.workshop()})
        async with here.client() as client:
            with anyio.fail_after(60):
                error = await refused(client, "submit_task", description="x", type="echo")
            assert "nobody listens there" in str(error)
            assert "start the server" in str(error)
            assert "no-secret" not in str(error)
