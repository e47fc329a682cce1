"""Nudges on loopback."""

import socket

import anyio
import pytest

from omni_mcp.dispatch import local
from omni_mcp.dispatch.local import LocalDispatch
from tests.integration.house import until

LIMIT = 30


async def test_a_nudge_rings_the_engine() -> None:
    face = LocalDispatch()
    async with LocalDispatch().listen() as doorbell, face.calling(lambda: None):
        rung = doorbell.rung
        face.nudge(doorbell.address, "abc")
        with anyio.fail_after(LIMIT):
            await rung.wait()
        assert doorbell.rung is not rung


async def test_a_nudge_to_nobody_or_elsewhere_is_nothing() -> None:
    dispatch = LocalDispatch()
    for address in ("127.0.0.1:9", "192.0.2.1:9", "nonsense", ""):
        dispatch.nudge(address, "abc")
    async with dispatch.calling(lambda: None):
        for address in ("127.0.0.1:9", "192.0.2.1:9", "nonsense", ""):
            dispatch.nudge(address, "abc")


async def test_who_asks_is_rung_once_when_an_attempt_at_the_task_is_over() -> None:
    heard: list[str] = []
    face = LocalDispatch()
    async with LocalDispatch().listen() as engine, face.calling(lambda: heard.append("ring")):
        for task_id in ("abc", "abc", "other"):
            face.ask_back(engine.address, task_id)
        rung = engine.rung
        face.nudge(engine.address, "last")  # in order on loopback: those before it have arrived
        with anyio.fail_after(LIMIT):
            await rung.wait()
        assert heard == []
        engine.ring_back("abc")
        engine.ring_back("abc")
        engine.ring_back("nobody asked")
        await until(lambda: heard)
        engine.ring_back("other")
        await until(lambda: len(heard) == 2)
        assert len(heard) == 2


async def test_only_so_many_are_remembered_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ASKING", 3)
    async with LocalDispatch().listen() as engine:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind(("127.0.0.1", 0))
            asker.settimeout(LIMIT)
            rung = engine.rung
            host, _, port = engine.address.rpartition(":")
            for said in (b"?a", b"?b", b"?c", b"?d", b"ring"):
                asker.sendto(said, (host, int(port)))
            with anyio.fail_after(LIMIT):
                await rung.wait()
            for task_id in "abcd":
                engine.ring_back(task_id)
            assert [asker.recv(64) for _ in "bcd"] == [b"b", b"c", b"d"]
