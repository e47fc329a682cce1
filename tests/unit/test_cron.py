"""When cron lines are due: over the changes of the clock, on 29 February, and lines that never are."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_mcp.cron import check, due_after, next_ones, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 29, tzinfo=BERLIN)
"""02:00 becomes 03:00."""
AUTUMN = datetime(2026, 10, 25, tzinfo=BERLIN)
"""03:00 becomes 02:00."""


def on_the_day(line: str, day: datetime) -> list[str]:
    """Return the due times of a day, in local time with its offset."""
    midnight = day - timedelta(seconds=1)
    times = [time.astimezone(BERLIN) for time in next_ones(line, BERLIN, midnight, 60)]
    return [f"{time:%H:%M%z}" for time in times if time.date() == day.date()]


@pytest.mark.parametrize(
    ("line", "spring", "autumn"),
    [
        ("30 2 * * *", ["03:00+0200"], ["02:30+0200"]),
        ("0 2 * * *", ["03:00+0200"], ["02:00+0200"]),
        ("0,30 2 * * *", ["03:00+0200"], ["02:00+0200", "02:30+0200"]),
        ("0 2,3 * * *", ["03:00+0200"], ["02:00+0200", "03:00+0100"]),
        ("30 3 * * *", ["03:30+0200"], ["03:30+0100"]),
        ("*/30 2 * * *", [], ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
    ],
)
def test_a_fixed_time_is_due_once_when_the_clock_changes_and_a_star_follows_the_time_that_passes(
    line: str, spring: list[str], autumn: list[str]
) -> None:
    assert on_the_day(line, SPRING) == spring
    assert on_the_day(line, AUTUMN) == autumn


def test_each_hour_is_each_hour_that_passes() -> None:
    assert (len(on_the_day("0 * * * *", SPRING)), len(on_the_day("0 * * * *", AUTUMN))) == (23, 25)


@settings(max_examples=40, deadline=None)
@given(
    line=st.sampled_from(["30 2 * * *", "0,30 2 * * *", "*/20 * * * *", "15 */2 * * *", "0 2,3 * * 0", "0 0 1 * *"]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    since=st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes)),
    later=st.timedeltas(timedelta(), timedelta(days=3)),
)
def test_where_the_look_begins_changes_nothing(line: str, zone: str, since: datetime, later: timedelta) -> None:
    """So that a stop, or a look further back, never finds other due times."""
    begin = since + later
    ahead = next_ones(line, ZoneInfo(zone), since, 250 if line.startswith("*") else 40)
    whole = [time for time in ahead if time > begin]
    assert next_ones(line, ZoneInfo(zone), begin, 5) == whole[:5] or len(whole) < 5
    assert all(before < after for before, after in pairwise(ahead))


def test_the_29th_of_february_is_due_in_leap_years_only() -> None:
    due = next_ones("0 12 29 2 *", ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC), 3)
    assert [f"{time:%F}" for time in due] == ["2028-02-29", "2032-02-29", "2036-02-29"]


@pytest.mark.parametrize(
    "line", ["* * * * *", "0 9 * * MON-FRI", "0 0 L * *", "5 4 29 2 *", "0 0 * 2 MON#5", "0 8 1 */3 *"]
)
def test_what_is_due_some_day_is_taken(line: str) -> None:
    check(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0 30 2 *", "no month has: Bad day-of-month"),
        ("0 0 31 4,6 *", "no month has"),
        ("60 * * * *", "Bad minute"),
        ("* * * * * *", "has not five fields"),
        ("@daily", "has not five fields: minute, hour"),
        ("", "has not five fields"),
        ("0 0 * * FUNDAY", "Bad day-of-week"),
        ("0 0 * * 1-", "Bad day-of-week"),
    ],
)
def test_what_is_never_due_or_no_cron_line_is_refused_with_the_reason(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(line)


def test_a_zone_is_named_as_the_world_names_it_or_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zone_named("Asia/Shanghai").key == "Asia/Shanghai"
    assert isinstance(zone_named(None), ZoneInfo)
    for name in ("Mars/Olympus", "../etc/passwd", "Europe", ""):
        with pytest.raises(ValueError, match="no time zone is called"):
            zone_named(name)

    def nowhere() -> ZoneInfo:
        return ZoneInfo("No/Where")

    monkeypatch.setattr("omni_mcp.cron.tzlocal.get_localzone", nowhere)
    assert zone_named(None).key == "UTC"


def test_a_year_is_begun_and_not_counted_out() -> None:
    assert next(due_after("0 0 1 1 *", BERLIN, AUTUMN)) == datetime(2026, 12, 31, 23, tzinfo=UTC)
