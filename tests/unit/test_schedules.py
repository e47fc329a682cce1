"""Schedules over a real ledger and a told clock: the stated tasks of docs/schedules.md, exactly, whoever looks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from pydantic import ValidationError

from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.scheduler import Scheduler
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings
from omni_mcp.task import LOCAL, Task
from omni_mcp.testing import FakeExecutor, ToldClock, engine_for, ledger_for_tests

BERLIN, ALSO_UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
"""Read here: what is read already blocks no loop."""
LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""

MONDAY = datetime(2026, 3, 23, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NIGHTLY = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}


def a_row(**changes: Any) -> ScheduleRow:
    return ScheduleRow.model_validate({**NIGHTLY, "task": {"description": "look", "type": "general"}, **changes})


def scheduler_for(
    ledger: Ledger,
    clock: ToldClock,
    rows: Mapping[str, ScheduleRow] | None = None,
    *,
    unreadable: bool = False,
    nightly: ScheduleRow | None = None,
) -> Scheduler:
    broken = [Problem(where="servers.yaml", what="is broken", fix="mend it", disables_all=True)]
    servers = ServersFile(schedules={**(rows or {}), **({"nightly": nightly} if nightly else {})})
    settings = Settings(home=Home(Path("/home")), servers=servers, problems=broken if unreadable else [])
    return Scheduler(ledger=ledger, settings=lambda: settings, clock=clock)


async def tasks_of(ledger: Ledger) -> Sequence[Task]:
    """Return all tasks, oldest first."""
    return (await ledger.page(principal=LOCAL, limit=500)).tasks[::-1]


async def finished(ledger: Ledger) -> None:
    """Have every open task end."""
    for task in await tasks_of(ledger):
        if not task.terminal:
            await ledger.request_cancel(task.id, reason=None)


async def lived(ledger: Ledger, clock: ToldClock, scheduler: Scheduler, span: timedelta, *, by: timedelta) -> list[str]:
    """Let time pass while an engine lives and each run ends at once; returns when tasks were written, in Berlin."""
    end = clock.now() + span
    written: list[str] = []
    while clock.now() < end:
        clock.advance(by)
        if await scheduler.step():
            written.append(f"{clock.now().astimezone(BERLIN):%d. %H:%M}")
            await finished(ledger)
    return written


async def due_of(ledger: Ledger, name: str = "nightly") -> str | None:
    mark = (await ledger.schedules())[name]
    return None if mark.due_at is None else f"{mark.due_at:%FT%H:%M}"


@pytest.mark.parametrize(
    ("line", "start", "expected"),
    [
        ("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), ["29. 03:00", "30. 02:30", "31. 02:30"]),
        ("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), ["25. 02:30", "26. 02:30", "27. 02:30"]),
        (
            "0 2,3 * * *",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            ["29. 03:00", "30. 02:00", "30. 03:00", "31. 02:00", "31. 03:00"],
        ),
    ],
)
async def test_over_a_change_of_the_clock_there_is_one_task_a_day(
    line: str, start: datetime, expected: list[str], tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(start)) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron=line))
        await scheduler.step()
        assert await lived(ledger, clock, scheduler, 3 * DAY, by=10 * MINUTE) == expected


async def test_each_quarter_of_an_hour_is_each_that_passes(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(datetime(2026, 10, 24, 22, tzinfo=UTC))) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron="*/15 * * * *"))
        await scheduler.step()
        written = await lived(ledger, clock, scheduler, 25 * HOUR, by=5 * MINUTE)
        assert len(written) == 100
        assert written.count("25. 02:30") == 2


@pytest.mark.parametrize(
    ("row", "due", "said"),
    [
        ({"missed": "skip"}, [], "3 due times were missed, the first 2 d ago; missed: skip runs 0"),
        ({"missed": "once"}, ["2026-03-26T01:30"], "3 due times were missed, the first 2 d ago; missed: once runs 1"),
        (
            {"missed": "all", "overlap": "queue"},
            ["2026-03-24T01:30", "2026-03-25T01:30", "2026-03-26T01:30"],
            "3 due times were missed, the first 2 d ago; missed: all runs 3",
        ),
        (
            {"missed": "all", "overlap": "queue", "most": 2},
            ["2026-03-25T01:30", "2026-03-26T01:30"],
            "more than 2 due times were missed, the first more than 2 d ago; missed: all runs 2",
        ),
        (
            {"cron": "* * * * *", "missed": "all", "overlap": "queue", "most": 3},
            ["2026-03-26T11:58", "2026-03-26T11:59", "2026-03-26T12:00"],
            "more than 57 due times were missed, the first more than 59 min ago; missed: all runs 3",
        ),
    ],
)
async def test_a_stop_of_three_days_is_followed_by_exactly_the_stated_tasks(
    row: dict[str, Any], due: list[str], said: str, tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        await scheduler_for(ledger, clock, nightly=a_row(**row)).step()
    clock.advance(3 * DAY)
    async with ledger_for_tests(tmp_path, clock) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(**row))
        ran: list[str | None] = []
        for _ in range(6):
            if await scheduler.step():
                ran.append(await due_of(ledger))
            assert not await scheduler.step()  # one run at a time
            await finished(ledger)
        assert ran == due
        assert (await ledger.schedules())["nightly"].said == said
        clock.advance(timedelta(hours=13, minutes=30))
        assert await scheduler.step() == 1


async def test_a_due_time_has_one_task_however_many_engines_look_and_whoever_dies(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as one, ledger_for_tests(tmp_path, clock) as two:
        rows: dict[str, Any] = {f"s{number}": a_row(cron="0 * * * *") for number in range(4)}
        engines = [scheduler_for(ledger, clock, rows) for ledger in (one, two, one)]
        await engines[0].step()
        for hour in range(1, 4):
            clock.advance(HOUR)
            async with anyio.create_task_group() as tasks:
                for engine in engines:
                    tasks.start_soon(engine.step)
            assert len(await tasks_of(one)) == hour * 4
            await finished(one)


async def test_a_kill_between_the_row_and_its_task_leaves_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron="0 * * * *"))
        await scheduler.step()
        before = await ledger.schedules()
        clock.advance(HOUR)
        with monkeypatch.context() as patched:

            def killed(*_: object) -> None:
                raise RuntimeError("killed")

            patched.setattr("omni_mcp.ledger.schedules.submit", killed)
            with pytest.raises(RuntimeError):
                await scheduler.step()
        assert (await tasks_of(ledger), await ledger.schedules()) == ([], before)
        assert await scheduler.step() == 1
        assert await scheduler.step() == 0


async def test_a_run_that_is_not_over_has_the_next_left_out_or_wait_for_its_turn(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        scheduler = scheduler_for(
            ledger,
            clock,
            {"skips": a_row(cron="0 * * * *"), "queues": a_row(cron="0 * * * *", overlap="queue", most=2)},
        )
        await scheduler.step()
        for _ in range(4):
            clock.advance(HOUR)
            await scheduler.step()
        marks = await ledger.schedules()
        assert [f"{time:%H}" for time in marks["queues"].queued] == ["14", "15"]
        assert marks["skips"].said == f"1 due times were left out: task {marks['skips'].task_id} is not over"
        assert marks["queues"].said == f"1 due times were left out: task {marks['queues'].task_id} is not over"
        ran: list[str | None] = []
        for _ in range(3):
            await finished(ledger)
            if await scheduler.step():
                ran.append(await due_of(ledger, "queues"))
        assert ran == ["2026-03-23T14:00", "2026-03-23T15:00"]
        assert len([task for task in await tasks_of(ledger) if task.spec.principal == "schedule:skips"]) == 1


async def test_a_clock_that_is_set_back_repeats_nothing_and_one_that_was_years_ahead_stops_nothing(
    tmp_path: Path,
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron="0 * * * *"))
        await scheduler.step()
        assert await lived(ledger, clock, scheduler, 3 * HOUR, by=HOUR) == ["23. 14:00", "23. 15:00", "23. 16:00"]
        clock.advance(-2 * HOUR)
        assert await lived(ledger, clock, scheduler, 3 * HOUR, by=HOUR) == ["23. 17:00"]
        clock.advance(3650 * DAY)
        assert await scheduler.step() == 1
        await finished(ledger)
        clock.advance(-3650 * DAY)
        assert await scheduler.step() == 0
        assert (await ledger.schedules())["nightly"].said == "the clock was set back: what is due counts from now on"
        assert await lived(ledger, clock, scheduler, HOUR, by=HOUR) == ["23. 18:00"]
        clock.advance(-25 * HOUR)  # by more than a day: the same due times come again, and have had their tasks
        await scheduler.step()
        assert await lived(ledger, clock, scheduler, 30 * HOUR, by=HOUR) == [
            *(f"22. {hour}:00" for hour in range(18, 24)),
            *(f"23. {hour:02}:00" for hour in range(14)),
            "23. 19:00",
            "23. 20:00",
            "23. 21:00",
            "23. 22:00",
            "23. 23:00",
        ]


async def test_a_schedule_begins_with_its_row_and_anew_with_another_line_zone_or_after_it_was_off(
    tmp_path: Path,
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        for row in (a_row(), a_row(cron="30 3 * * *"), a_row(timezone="UTC"), a_row(enabled=False), a_row()):
            clock.advance(3 * DAY)
            assert await scheduler_for(ledger, clock, nightly=row).step() == 0
        clock.advance(3 * DAY)
        assert await scheduler_for(ledger, clock, unreadable=True, nightly=a_row()).step() == 0
        assert await scheduler_for(ledger, clock, nightly=a_row(task={"description": "other"})).step() == 1


async def test_a_paused_schedule_runs_nothing_and_what_was_due_meanwhile_is_not_made_up(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron="0 * * * *"))
        await scheduler.step()
        plan = (await ledger.schedules())["nightly"].plan
        await ledger.pause_schedule("nightly", plan=plan, paused=True)
        assert await lived(ledger, clock, scheduler, 5 * HOUR, by=HOUR) == []
        await ledger.pause_schedule("nightly", plan=plan, paused=False)
        assert await scheduler.step() == 0
        assert await lived(ledger, clock, scheduler, 2 * HOUR, by=HOUR) == ["23. 19:00", "23. 20:00"]


async def test_an_engine_with_a_schedule_stays_and_goes_when_it_is_paused(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        engine = engine_for(ledger, FakeExecutor(), home=tmp_path, clock=clock, exits=True)
        servers = engine.settings.servers.model_copy(update={"schedules": {"nightly": a_row()}})
        object.__setattr__(engine.means, "settings", Settings(home=Home(tmp_path), servers=servers))
        await announced(ledger, clock)

        async def ends() -> str | None:
            clock.advance(HOUR)
            return await engine._end(stepped=False)  # pyright: ignore[reportPrivateUsage] # pylint: disable=W0212

        assert [await ends() for _ in range(3)] == [None, None, None]
        await ledger.pause_schedule("nightly", plan="", paused=True)
        assert await ends() == "idle"


async def test_a_pause_that_ends_while_an_engine_says_goodbye_is_seen_by_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        await announced(ledger, clock)
        await ledger.pause_schedule("nightly", plan="", paused=True)
        seen = await ledger.pause_schedule("nightly", plan="", paused=False)
        assert seen is not None
        assert seen.there
        assert not await ledger.retire("engine", only_if_idle=True, scheduled=["nightly"])
        await ledger.pause_schedule("nightly", plan="", paused=True)
        assert await ledger.retire("engine", only_if_idle=True, scheduled=["nightly"])
        seen = await ledger.pause_schedule("nightly", plan="", paused=False)
        assert seen is not None
        assert not seen.there


async def announced(ledger: SqliteLedger, clock: ToldClock) -> None:
    mark = EngineMark(owner="engine", pid=1, version="1", log="", address="", started_at=clock.now())
    await ledger.announce(mark)


async def test_a_run_has_what_its_row_says_and_takes_its_turn_as_a_principal_of_its_own(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock(MONDAY)) as ledger:
        task = {"description": "look", "executor": "fake", "deadline": 7200, "budget_usd": 2, "permissions": "edit"}
        scheduler = scheduler_for(ledger, clock, nightly=a_row(cron="0 * * * *", task=task))
        await scheduler.step()
        clock.advance(HOUR)
        await scheduler.step()
        [written] = await tasks_of(ledger)
        found = await ledger.find(written.id, principal=LOCAL)
        assert (found.spec.principal, found.spec.executor) == ("schedule:nightly", "fake")
        assert (found.spec.budget_usd, found.spec.options) == (2, {"permissions": "edit"})
        assert found.spec.deadline == clock.now() + 2 * HOUR


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cron": "0 0 30 2 *"}, "no month has"),
        ({"timezone": "Mars/Olympus"}, "no time zone is called"),
        ({"missed": "all"}, "needs overlap: queue"),
        ({"task": {"description": "x", "deadline": 0}}, "greater than or equal to 1"),
    ],
)
def test_a_row_that_can_never_be_due_or_contradicts_itself_is_refused_with_its_reason(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        a_row(**changes)
