"""The monitor over a real ledger: what it writes, who may, and that a kill at any moment costs nothing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import pytest

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.state import LITELLM, Called, Setup
from omni_mcp.errors import LedgerBusy
from omni_mcp.ledger.base import LEAD, Ledger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.monitor import Monitor
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.task import Mode
from omni_mcp.testing import ToldClock, ledger_for_tests

LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""

OK = Look(verdict=Verdict.OK, said="answers")
GONE = Look(verdict=Verdict.BROKEN, said="no connection")
SETUP = Setup(providers=("anthropic",))
SECOND = timedelta(seconds=1)


@dataclass
class FakeProbes:
    """Sees what it is told, and counts."""

    sees: dict[str, Look] = field(default_factory=lambda: {LITELLM: OK, "anthropic": OK})
    asked: list[str] = field(default_factory=list[str])

    async def litellm(self, *, limit: float, deep: bool) -> Look:
        self.asked.append(LITELLM)
        return self.sees[LITELLM]

    async def provider(self, name: str, *, limit: float) -> Look:
        self.asked.append(name)
        return self.sees[name]


async def dead(_owner: str) -> bool:
    return True


async def alive(_owner: str) -> bool:
    return False


def monitor_for(ledger: Ledger, clock: ToldClock, probes: FakeProbes, **changes: Any) -> Monitor:
    fields: dict[str, Any] = {
        "ledger": ledger,
        "setup": SETUP,
        "probes": probes,
        "clock": clock,
        "owner": "one",
        "is_over": alive,
        "on_change": lambda: None,
        "jitter": lambda: 0.0,
    }
    return Monitor(**{**fields, **changes})


async def watched(monitor: Monitor, clock: ToldClock, seconds: int) -> None:
    """Let the monitor live for some seconds of told time."""
    for _ in range(seconds):
        await monitor.step()
        clock.advance(SECOND)


async def changes(ledger: SqliteLedger) -> list[Mode]:
    return [change.mode for change in reversed(await ledger.mode_changes(limit=50))]


async def test_a_change_is_in_the_history_logged_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes({LITELLM: GONE, "anthropic": OK})
        rung: list[Mode] = []
        monitor = monitor_for(ledger, clock, probes)
        monitor.on_change = lambda: rung.append(monitor.permit().mode)
        with caplog.at_level(logging.WARNING):
            await watched(monitor, clock, 10)
        assert await changes(ledger) == [Mode.DEGRADED]
        assert (await ledger.mode()).mode is Mode.DEGRADED
        told = [record.message for record in caplog.records if "action" in record.__dict__]
        assert len(told) == 1
        assert told[0].startswith("mode degraded: LiteLLM: no connection. Tasks go on")
        assert not await ledger.untold()
        assert Mode.DEGRADED in rung


async def test_while_all_is_well_and_calls_succeed_nothing_is_written_but_the_probes(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        monitor = monitor_for(ledger, clock, FakeProbes())
        await monitor.step()
        before = await ledger.watermark()
        for _ in range(100):
            monitor.saw(Called(target=LITELLM, verdict=Verdict.OK, said="served a call"))
            await monitor.step()
        assert await ledger.watermark() == before


class Crash(BaseException):
    """The engine is killed."""


class Killing:
    """A ledger that is cut off before or after a verb, as a kill of the engine would."""

    def __init__(self, ledger: Ledger, verb: str, *, after: bool) -> None:
        self._ledger = ledger
        self._verb = verb
        self._after = after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            if name == self._verb and not self._after:
                raise Crash
            result = await getattr(self._ledger, name)(*args, **named)
            if name == self._verb:
                raise Crash
            return result

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["lead", "save_mode", "untold", "told"])
@pytest.mark.parametrize("kill_at", [1, 2, 3, 4])
async def test_an_engine_that_is_killed_in_a_change_leaves_it_to_the_next_and_it_is_told_once(
    verb: str, after: bool, kill_at: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes({LITELLM: GONE, "anthropic": OK})
        first = monitor_for(ledger, clock, probes, channels=["desktop"])
        with caplog.at_level(logging.WARNING):
            await watched(first, clock, kill_at - 1)
            first.ledger = cast("Ledger", Killing(ledger, verb, after=after))
            with pytest.raises((Crash, BaseExceptionGroup, AssertionError)):  # noqa: PT012 - whichever step it is
                await watched(first, clock, 10)
                raise AssertionError("it had nothing of the kind to do")
            second = monitor_for(ledger, clock, probes, owner="two", is_over=dead, channels=["desktop"])
            await second.load()
            await watched(second, clock, 10)
        assert await changes(ledger) == [Mode.DEGRADED]
        assert not await ledger.untold()
        assert [delivery.notice.data["mode"] for delivery in await ledger.last_deliveries()] == ["degraded"]
        await ledger.delivered((await ledger.last_deliveries())[0].number)
        assert not await ledger.any_owed()
        assert (await ledger.mode()).prober == "two"
        lines = [record.message for record in caplog.records if record.message.startswith("mode degraded")]
        assert 1 <= len(lines) <= (2 if verb == "told" else 1)


class KillingIn:
    """A ledger that is cut off in the change to a mode: before or after its write, or before or after it is told."""

    def __init__(self, ledger: Ledger, mode: Mode, verb: str, *, after: bool) -> None:
        self._ledger = ledger
        self._mode = mode
        self._verb = verb
        self._after = after
        self._begun = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            if name == "save_mode" and named["mode"] is self._mode:
                self._begun = True
            dies = self._begun and name == self._verb
            if dies and not self._after:
                raise Crash
            result = await getattr(self._ledger, name)(*args, **named)
            if dies:
                raise Crash
            return result

        return call


QUICKLY = Setup(
    numbers=FaultHandler(check_interval=3, min_dwell=2, success_memory=1, recover_spacing=1, confirm_delay=1),
    providers=("anthropic",),
)
OUTAGE = (
    ({LITELLM: GONE, "anthropic": OK}, 8),
    ({LITELLM: GONE, "anthropic": GONE}, 8),
    ({LITELLM: GONE, "anthropic": OK}, 10),
    ({LITELLM: OK, "anthropic": OK}, 12),
)
"""What there is to see, and for how many seconds: LiteLLM breaks, then all is dark, then each comes back."""
THE_WAY = [Mode.DEGRADED, Mode.BRAINSTEM, Mode.DEGRADED, Mode.NORMAL]


@pytest.mark.sqlite  # the notices are read from its file
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["save_mode", "untold", "told"])
@pytest.mark.parametrize("dies_in", list(Mode))
async def test_an_engine_killed_at_each_moment_of_each_change_leaves_one_change_and_one_notice_of_it(
    dies_in: Mode, verb: str, after: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes()
        monitor = monitor_for(ledger, clock, probes, setup=QUICKLY, channels=["desk"])
        await monitor.step()
        monitor.ledger = cast("Ledger", KillingIn(ledger, dies_in, verb, after=after))
        deaths = 0
        with caplog.at_level(logging.WARNING):
            for sees, seconds in OUTAGE:
                probes.sees = sees
                for _ in range(seconds):
                    try:
                        await monitor.step()
                    except Crash:
                        deaths += 1
                        monitor = monitor_for(
                            ledger, clock, probes, setup=QUICKLY, owner="two", is_over=dead, channels=["desk"]
                        )
                        await monitor.load()
                    clock.advance(SECOND)
        assert deaths == 1
        assert await changes(ledger) == THE_WAY
        assert not await ledger.untold()
        assert await noticed(ledger) == THE_WAY
        told = [
            record.message.split()[1].rstrip(":") for record in caplog.records if record.message.startswith("mode ")
        ]
        assert [mode for mode, _ in groupby(told)] == THE_WAY
        assert len(told) <= len(THE_WAY) + (verb == "told")


async def noticed(ledger: SqliteLedger) -> list[str]:
    """Return the mode that each notice tells of that the channel was owed, and owe it no more."""
    modes = list[str]()
    while (delivery := await ledger.owed("desk")) is not None:
        modes += [delivery.notice.text.split()[1].rstrip(":")] if delivery.notice.kind == "mode" else []
        await ledger.delivered(delivery.number)
    return modes


async def test_one_engine_probes_and_the_other_follows_until_the_first_is_over(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        one, two = FakeProbes({LITELLM: GONE, "anthropic": OK}), FakeProbes()
        first = monitor_for(ledger, clock, one)
        second = monitor_for(ledger, clock, two, owner="two")
        for _ in range(120):
            await first.step()
            await second.step()
            clock.advance(SECOND)
        assert second.permit().mode is Mode.DEGRADED
        assert not two.asked
        clock.advance(LEAD * 2)
        await second.step()
        assert two.asked
        one.asked.clear()
        await first.step()
        assert not one.asked


async def test_what_a_person_sets_is_taken_over_and_ends_by_itself(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        monitor = monitor_for(ledger, clock, FakeProbes())
        await monitor.step()
        await ledger.force_mode(Mode.BRAINSTEM, until=clock.now() + timedelta(minutes=2))
        await watched(monitor, clock, 100)
        assert monitor.permit().mode is Mode.BRAINSTEM
        again = monitor_for(ledger, clock, FakeProbes(), owner="two", is_over=dead)
        await again.load()
        await watched(again, clock, 30)
        assert await changes(ledger) == [Mode.BRAINSTEM, Mode.NORMAL]
        await ledger.force_mode(Mode.DEGRADED, until=clock.now() + timedelta(minutes=2))
        await again.step()
        await ledger.force_mode(None, until=None)
        await again.step()
        assert (await changes(ledger))[2:] == [Mode.DEGRADED, Mode.NORMAL]


async def test_a_ledger_that_is_busy_costs_no_change(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        monitor = monitor_for(ledger, clock, FakeProbes({LITELLM: GONE, "anthropic": OK}))
        await watched(monitor, clock, 2)

        class Busy(Killing):
            """A ledger that cannot write the mode."""

            def __getattr__(self, name: str) -> Callable[..., Any]:
                async def call(*args: Any, **named: Any) -> Any:
                    if name == "save_mode":
                        raise LedgerBusy("held by somebody")
                    return await getattr(self._ledger, name)(*args, **named)

                return call

        monitor.ledger = cast("Ledger", Busy(ledger, "", after=False))
        for _ in range(3):
            with pytest.raises(LedgerBusy):
                await monitor.step()
            clock.advance(SECOND)
        monitor.ledger = ledger
        await watched(monitor, clock, 3)
        assert await changes(ledger) == [Mode.DEGRADED]


async def test_the_look_on_which_a_change_hangs_is_made_twice_before_it_counts(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes({LITELLM: GONE, "anthropic": OK})
        monitor = monitor_for(ledger, clock, probes)
        await watched(monitor, clock, 3)
        assert probes.asked.count(LITELLM) == 2
        await monitor.step()
        assert (probes.asked.count(LITELLM), probes.asked.count("anthropic")) == (4, 1)


async def test_what_is_due_at_the_same_time_as_a_round_is_looked_at_once_with_it(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes({LITELLM: GONE, "anthropic": GONE})
        monitor = monitor_for(ledger, clock, probes)
        await watched(monitor, clock, 10)
        assert monitor.permit().mode is Mode.BRAINSTEM
        clock.advance(timedelta(minutes=1))
        probes.asked.clear()
        await watched(monitor, clock, 5)
        assert sorted(probes.asked) == ["anthropic", LITELLM]
        probes.sees = {LITELLM: OK, "anthropic": OK}
        clock.advance(timedelta(minutes=1))
        await watched(monitor, clock, 15)
        assert await changes(ledger) == [Mode.BRAINSTEM, Mode.NORMAL]
