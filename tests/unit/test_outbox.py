"""The outbox over a real ledger: in order, at least once, with one id, up to a limit, and never at anybody's cost."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from omni_mcp.crashes import Crashes
from omni_mcp.decide.tries import GIVE_UP, LONGEST_PAUSE
from omni_mcp.errors import LedgerBusy, LedgerError, NotTold
from omni_mcp.ledger.base import Delivery, EngineMark, Ledger
from omni_mcp.notify.channels import told_by
from omni_mcp.outbox import AGAIN, MISSED, Outbox
from omni_mcp.servers_file.notify import Notify
from omni_mcp.task import Mode
from omni_mcp.testing import START, ToldClock, ledger_for_tests
from tests.integration.house import until

LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""


@dataclass
class FakeChannel:
    """Takes what it is told, or not."""

    name: str = "webhook example.org (abc123)"
    trouble: Exception | None = None
    told: list[Delivery] = field(default_factory=list[Delivery])
    hangs: bool = False

    async def tell(self, delivery: Delivery) -> None:
        self.told.append(delivery)
        if self.hangs:
            await anyio.sleep_forever()
        if self.trouble is not None:
            raise self.trouble

    @property
    def modes(self) -> Sequence[str]:
        return [delivery.notice.data["mode"] for delivery in self.told]


def outbox_for(ledger: Ledger, clock: ToldClock, *channels: FakeChannel, **changes: Any) -> Outbox:
    named = {channel.name: channel for channel in channels}
    fields: dict[str, Any] = {"ledger": ledger, "channels": named, "clock": clock, "leads": lambda: True}
    return Outbox(**{**fields, **changes})


async def changed(ledger: Ledger, mode: Mode, *channels: FakeChannel) -> None:
    """Change the mode, as a monitor does."""
    await ledger.lead("one", over=None, until=START + timedelta(days=365))
    names = [channel.name for channel in channels]
    await ledger.save_mode("one", state="{}", mode=mode, cause="dark", notice=f"mode {mode}: dark", channels=names)


async def test_a_channel_is_told_each_notice_once_in_their_order(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel, other = FakeChannel(), FakeChannel(name="desktop")
        for mode in (Mode.BRAINSTEM, Mode.BRAINSTEM, Mode.NORMAL):
            await changed(ledger, mode, channel, other)
        outbox = outbox_for(ledger, clock, channel, other)
        assert [await outbox.step(channel) for _ in range(3)] == [True, True, False]
        assert channel.modes == ["brainstem", "normal"]
        assert (channel.told[0].notice.data["was"], channel.told[0].notice.data["cause"]) == ("normal", "dark")
        assert await outbox.step(other)
        assert len({delivery.id for delivery in (*channel.told, *other.told)}) == 3


async def test_what_is_not_taken_is_tried_again_with_growing_pauses_and_the_same_id_and_nothing_overtakes_it(
    tmp_path: Path,
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel(trouble=NotTold("HTTP 500"))
        outbox = outbox_for(ledger, clock, channel)
        await changed(ledger, Mode.BRAINSTEM, channel)
        tried = [clock.now()]
        assert await outbox.step(channel)
        while len(tried) < 11:
            clock.advance(timedelta(seconds=1))
            if await outbox.step(channel):
                tried.append(clock.now())
        pauses = [(after - before).total_seconds() for before, after in pairwise(tried)]
        assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
        channel.trouble = None
        await changed(ledger, Mode.NORMAL, channel)  # and what is owed is tried again at once
        assert [await outbox.step(channel) for _ in range(3)] == [True, True, False]
        assert channel.modes[-2:] == ["brainstem", "normal"]
        assert len({delivery.id for delivery in channel.told[:-1]}) == 1
        assert channel.told[-2].notice == channel.told[0].notice


async def test_a_notice_is_given_up_after_a_day_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel(trouble=NotTold("no answer in 10 s"))
        outbox = outbox_for(ledger, clock, channel)
        await changed(ledger, Mode.BRAINSTEM, channel)
        with caplog.at_level(logging.WARNING):
            while await ledger.any_owed():
                await outbox.step(channel)
                clock.advance(LONGEST_PAUSE)
        assert START + GIVE_UP - LONGEST_PAUSE < clock.now() <= START + GIVE_UP + LONGEST_PAUSE
        assert caplog.records[-1].message.endswith("no answer in 10 s; next try: none, it is given up")
        (last,) = await ledger.last_deliveries()
        assert last.tries == len(channel.told)
        said = told_by(Notify(desktop=False), [replace(last, channel="desktop")], "engine.log")
        assert said == {"log": "engine.log", "desktop": "off: notify.desktop is false"}


async def test_what_will_never_be_taken_is_tried_once(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel(trouble=NotTold("HTTP 410", final=True))
        await changed(ledger, Mode.BRAINSTEM, channel)
        assert await outbox_for(ledger, clock, channel).step(channel)
        assert not await ledger.any_owed()


async def test_an_engine_that_is_killed_between_telling_and_noting_it_is_followed_by_one_that_tells_with_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        await changed(ledger, Mode.BRAINSTEM, channel)

        async def killed(_delivery: int) -> None:
            raise LedgerError("killed")

        with monkeypatch.context() as patched:
            patched.setattr(ledger, "delivered", killed)
            with pytest.raises(LedgerError):
                await outbox_for(ledger, clock, channel).step(channel)
        assert await outbox_for(ledger, clock, channel).step(channel)
        first, second = channel.told
        assert first.id == second.id
        assert not await ledger.any_owed()


async def test_who_does_not_lead_tells_nobody(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        await changed(ledger, Mode.BRAINSTEM, channel)
        assert not await outbox_for(ledger, clock, channel, leads=lambda: False).step(channel)
        assert not channel.told


async def test_a_channel_that_hangs_or_breaks_delays_no_other_and_ends_no_engine(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        hanging, good = FakeChannel(name="hanging", hangs=True), FakeChannel(name="good")
        broken = FakeChannel(name="broken", trouble=ValueError("https://secret.example"))
        await changed(ledger, Mode.BRAINSTEM, hanging, broken, good)
        outbox = outbox_for(ledger, clock, hanging, broken, good)

        async def both_were_tried() -> bool:
            return [d.channel for d in await ledger.last_deliveries() if d.told_at or d.trouble] == ["broken", "good"]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            await until(both_were_tried)
            await changed(ledger, Mode.NORMAL, hanging, broken, good)
            outbox.ring()
            await until(lambda: good.modes == ["brainstem", "normal"])
            tasks.cancel_scope.cancel()
        assert len(hanging.told) == 1
        assert {d.channel: d.trouble for d in await ledger.last_deliveries()}["broken"] == "it broke: ValueError"


async def test_what_is_owed_to_a_channel_of_former_settings_is_given_up(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        await changed(ledger, Mode.BRAINSTEM, channel)
        await outbox_for(ledger, clock, channel).disown()
        assert await ledger.any_owed()
        outbox = outbox_for(ledger, clock)
        await outbox.disown()
        clock.advance(MISSED)
        await outbox.disown()
        assert not await ledger.any_owed()


async def test_a_file_that_is_half_saved_costs_no_notice(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        await changed(ledger, Mode.BRAINSTEM, channel)
        outbox = outbox_for(ledger, clock, channel)
        for _ in range(2):  # the second time counts from its own beginning
            outbox.refit({})
            await outbox.disown()
            clock.advance(MISSED - timedelta(seconds=1))
            await outbox.disown()
            outbox.refit({channel.name: channel})
            await outbox.disown()
        assert await outbox.step(channel)


@pytest.mark.parametrize(("write", "trouble"), [("delivered", None), ("put_off", NotTold("HTTP 500"))])
async def test_while_the_ledger_cannot_be_written_nothing_is_told_twice(
    write: str, trouble: NotTold | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel, written, refusals = FakeChannel(trouble=trouble), getattr(ledger, write), [LedgerBusy("held")] * 2

        async def refused(*args: Any, **named: Any) -> None:
            if refusals:
                raise refusals.pop()
            await written(*args, **named)

        monkeypatch.setattr(ledger, write, refused)
        await changed(ledger, Mode.BRAINSTEM, channel)
        outbox = outbox_for(ledger, clock, channel)
        with suppress(LedgerBusy):
            while await outbox.step(channel):
                pass
        assert (len(channel.told), refusals) == (1, [])
        (last,) = await ledger.last_deliveries()
        assert last.tries == 1


async def test_engines_that_die_at_their_start_are_told_of_once_an_hour(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        outbox = outbox_for(ledger, clock, channel)
        for count in (1, 2, 3, 4, 5):
            await outbox.tell_of(Crashes(count=count, at=clock.now(), reason="no room"))
        while await outbox.step(channel):
            pass
        assert [d.notice.kind for d in channel.told] == ["engine.crashes"]
        assert "died 3 times in a row right after its start: no room" in channel.told[0].notice.text
        clock.advance(AGAIN)
        await outbox.tell_of(Crashes(count=6, at=clock.now(), reason="no room"))
        assert await outbox.step(channel)


async def test_settings_that_change_hold_at_once_and_what_is_on_its_way_is_not_lost(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        hanging, mended, former = FakeChannel(hangs=True), FakeChannel(), FakeChannel(name="former", hangs=True)
        await changed(ledger, Mode.BRAINSTEM, hanging, former)
        outbox = outbox_for(ledger, clock, hanging, former)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            await until(lambda: hanging.told)
            outbox.refit({mended.name: mended})
            await until(lambda: mended.told)
            tasks.cancel_scope.cancel()
        await outbox.disown()
        clock.advance(MISSED)
        await outbox.disown()
        assert [delivery.id for delivery in mended.told] == [delivery.id for delivery in hanging.told]
        assert {d.channel: d.trouble for d in await ledger.last_deliveries()}["former"] == "it is configured no more"


async def test_an_engine_does_not_leave_while_a_channel_is_owed_a_notice(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel()
        mark = EngineMark(owner="engine", pid=1, version="1", log="", address="", started_at=clock.now())
        await ledger.announce(mark)
        await changed(ledger, Mode.BRAINSTEM, channel)
        assert not await ledger.retire("engine", only_if_idle=True)
        await outbox_for(ledger, clock, channel).step(channel)
        assert await ledger.retire("engine", only_if_idle=True)


async def test_what_was_given_up_is_sent_once_more_when_somebody_asks_for_it(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        channel = FakeChannel(trouble=NotTold("HTTP 410", final=True))
        outbox = outbox_for(ledger, clock, channel)
        await changed(ledger, Mode.BRAINSTEM, channel)
        assert await outbox.step(channel)
        assert await ledger.given_up() == {channel.name: (1, clock.now(), "HTTP 410")}
        assert await ledger.send_again(["another"]) == 0
        assert await ledger.send_again([channel.name]) == 1
        channel.trouble = None
        assert await outbox.step(channel)
        assert await ledger.given_up() == {}
        assert len({delivery.id for delivery in channel.told}) == 1
