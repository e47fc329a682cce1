"""When a cron line is due, in a time zone. The time is told.

The semantics are those of Debian's cron, by the library `cronsim`. Where the clock is put forward, a line with a fixed
time in the gap is due at the end of the gap; where it is put back, such a line is due in the first of the two hours
only. A line whose minute or hour begins with `*` follows the time that passes: it is due in both hours, and in no hour
that there is not. Docs: docs/schedules.md.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from cronsim import CronSim, CronSimError

logger = logging.getLogger(__name__)

FIELDS = ("minute", "hour", "day", "month", "weekday")
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Any: a line that is not due within fifty years of it never is."""


def check(line: str) -> None:
    """Find out whether a cron line is ever due. Raises ValueError, with the reason."""
    if len(line.split()) != len(FIELDS):
        raise ValueError(f"{line[:100]!r} has not five fields: {', '.join(FIELDS)}")
    try:
        first = next(due_after(line, UTC, _SOME_DAY), None)
    except CronSimError as error:
        raise ValueError(f"{line[:100]!r} is no cron line, or names days that no month has: {error}") from error
    if first is None:
        raise ValueError(f"{line[:100]!r} is never due: in fifty years there is no such day")


def zone_named(name: str | None) -> ZoneInfo:
    """Return a time zone, None: that of this machine. Raises ValueError."""
    if name is None:
        return _zone_here()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name[:64]!r}; write one such as Europe/Berlin or UTC") from error


def _zone_here() -> ZoneInfo:
    """Return the zone of this machine; where it says nothing that is known, UTC."""
    try:
        return tzlocal.get_localzone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        logger.warning("the time zone of this machine is not known, so it is UTC: %s", error)
        return ZoneInfo("UTC")


def due_after(line: str, zone: tzinfo, since: datetime) -> Iterator[datetime]:
    """Yield the times after `since` at which a line is due, in UTC, each later than the one before."""
    last = since
    for local in CronSim(line, since.astimezone(zone)):
        if (found := local.astimezone(UTC)) > last:
            last = found
            yield found


def next_ones(line: str, zone: tzinfo, since: datetime, count: int) -> list[datetime]:
    """Return the next `count` times that a line is due."""
    return list(islice(due_after(line, zone, since), count))
