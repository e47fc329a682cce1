"""Which runs a schedule owes: what is due, what was missed, and what follows from its row. Pure: the time is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import takewhile

from omni_mcp.cron import due_after
from omni_mcp.decide.times import in_words
from omni_mcp.servers_file.schedules import ScheduleRow

PUNCTUAL = timedelta(minutes=1)
"""What is seen later than this after it was due was missed: nobody was there to run it."""
AHEAD = timedelta(hours=24)
"""What was looked at further ahead than this was looked at by a clock that was wrong."""
FIRST_LOOK = timedelta(hours=1)
"""How far is looked back at first; doubled until there is enough, so that a year of minutes is not counted out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look at a schedule found."""

    run: Sequence[datetime] = ()
    """The due times that get a run each, oldest first."""
    seen_until: datetime
    """Up to here it is decided."""
    said: str | None = None
    """What was missed and what becomes of it, in words; None: nothing was."""


def looked(row: ScheduleRow, zone: tzinfo, *, since: datetime, now: datetime) -> Found:
    """Decide what a schedule owes for the time after `since`.

    A clock that was set back repeats nothing: what was decided stays so until it is passed again. One that was ahead by
    more than `AHEAD` is believed no more, and what is due counts from now on.
    """
    if since > now:
        wrong = since > now + AHEAD
        said = "the clock was set back: what is due counts from now on" if wrong else None
        return Found(seen_until=now if wrong else since, said=said)
    due, complete = _due(row, zone, since=since, now=now)
    if not due:
        return Found(seen_until=since)
    run = _kept(row, due, now)
    return Found(run=run, seen_until=due[-1], said=_said(row, due, run, now, complete=complete))


def _due(row: ScheduleRow, zone: tzinfo, *, since: datetime, now: datetime) -> tuple[list[datetime], bool]:
    """Return the newest due times up to now, more than can be run, and whether these are all since then."""
    back = FIRST_LOOK
    while True:
        begin = max(since, now - back) if back < now - since else since
        due = list(takewhile(lambda time: time <= now, due_after(row.cron, zone, begin)))
        if begin == since or len(due) > row.most:
            return due, begin == since
        back *= 2


def _kept(row: ScheduleRow, due: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    match row.missed:
        case "skip":
            return [time for time in due[-1:] if now - time <= PUNCTUAL]
        case "once":
            return due[-1:]
        case "all":
            return due[-row.most :]


def _said(
    row: ScheduleRow, due: Sequence[datetime], run: Sequence[datetime], now: datetime, *, complete: bool
) -> str | None:
    late = [time for time in due if now - time > PUNCTUAL]
    if not late:
        return None
    count = f"{len(late)}" if complete else f"more than {len(late) - 1}"
    away = in_words(now - late[0]) if complete else f"more than {in_words(now - late[0])}"
    return f"{count} due times were missed, the first {away} ago; missed: {row.missed} runs {len(run)}"
