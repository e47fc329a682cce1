"""Nudges between machines, through a real Redis: heard once, by who shares the work, whatever becomes of the server."""

import gc
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from omni_mcp.dispatch import docket as adapter
from omni_mcp.dispatch.bell import Bell
from omni_mcp.dispatch.choose import open_dispatch
from omni_mcp.dispatch.docket import DocketDispatch
from omni_mcp.errors import SettingsError
from tests.integration.house import until
from tests.integration.redis_server import RedisServer, needs_redis, redis_server

pytestmark = [
    needs_redis,
    # redis-py leaves the sockets of a server that went away to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

LIMIT = 60


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[RedisServer]:
    monkeypatch.setattr(adapter, "AWAY", 0.1)
    async with redis_server(tmp_path) as server:
        yield server
    gc.collect()  # here, and not in the middle of another test


class Counted:
    """Counts the rings of a bell."""

    def __init__(self, bell: Bell) -> None:
        self.rings = 0
        self._ring = bell.ring
        bell.ring = self.ring

    def ring(self) -> None:
        self.rings += 1
        self._ring()


async def test_each_nudge_is_heard_by_one_engine_and_that_of_a_machine_only_there(server: RedisServer) -> None:
    face = DocketDispatch(server.url, machine="desk")
    one, other = (DocketDispatch(server.url, machine=name) for name in ("one", "other"))
    async with one.listen() as first, other.listen() as second, face.calling(lambda: None):
        heard, by_other = Counted(first), Counted(second)
        for number in range(20):
            face.nudge(first.address, f"task-{number}")
        await until(lambda: heard.rings + by_other.rings == 20)
        before = heard.rings
        for number in range(5):
            face.nudge(first.address, f"there-{number}", machine="other")
        await until(lambda: heard.rings + by_other.rings == 25)
        assert heard.rings == before


async def test_no_connection_waits_for_cancellations_which_would_never_rest_once_the_network_was_cut(
    server: RedisServer,
) -> None:
    face, engine = DocketDispatch(server.url, machine="desk"), DocketDispatch(server.url, machine="one")
    async with engine.listen() as bell, face.calling(lambda: None):
        heard = Counted(bell)
        face.nudge(bell.address, "first")
        await until(lambda: heard.rings == 1)
        assert await server.patterns() == 0


async def test_a_redis_that_was_wiped_or_restarted_carries_the_next_nudges(server: RedisServer) -> None:
    face, engine = DocketDispatch(server.url, machine="desk"), DocketDispatch(server.url, machine="one")
    async with engine.listen() as bell, face.calling(lambda: None):
        heard = Counted(bell)
        face.nudge(bell.address, "first")
        await until(lambda: heard.rings == 1)
        await server.wipe()
        await nudged(face, bell, heard)
        await server.kill()
        face.nudge(bell.address, "while it is away")
        await server.start()
        await nudged(face, bell, heard)


async def nudged(face: DocketDispatch, bell: adapter.DocketDoorbell, heard: Counted) -> None:
    """Nudge until one is heard; those before may be lost, which costs no more than a look at the ledger."""
    before = heard.rings
    number = 0

    def has_rung() -> bool:
        nonlocal number
        number += 1
        face.nudge(bell.address, f"after-{before}-{number}")
        return heard.rings > before

    await until(has_rung, limit=LIMIT)


async def test_without_redis_engine_and_face_begin_and_end_and_hear_it_when_it_comes(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await server.kill()
    face, engine = DocketDispatch(server.url, machine="desk"), DocketDispatch(server.url, machine="one")
    with anyio.fail_after(LIMIT):
        async with engine.listen() as bell, face.calling(lambda: None):
            heard = Counted(bell)
            for number in range(adapter.WAITING + 10):
                face.nudge(bell.address, f"task-{number}")
            await until(lambda: caplog.text.count("no nudges") == 2)
            await server.start()
            await nudged(face, bell, heard)
    assert caplog.text.count("no nudges") == 2, "once by the face, once by the engine"
    assert "of-a-test" not in caplog.text


async def test_a_wrong_password_is_said_without_the_password_and_ends_nothing(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = server.url.replace("of-a-test", "guessed-wrong")
    async with DocketDispatch(wrong, machine="one").listen():
        await until(lambda: "invalid username-password" in caplog.text)
    assert "guessed-wrong" not in caplog.text


@pytest.mark.parametrize("url", ["6379", "http://127.0.0.1:6379", "redis", "memory://", "redis://host:a-port"])
def test_what_is_no_redis_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="OMNI_DISPATCH") as refused:
        open_dispatch(url, machine="desk")
    assert "redis://" in str(refused.value.next_step)


def test_a_redis_is_taken_at_its_word(server: RedisServer) -> None:
    assert isinstance(open_dispatch(server.url, machine="desk"), DocketDispatch)
