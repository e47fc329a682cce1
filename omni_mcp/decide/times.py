"""Times as people and models write them: an ISO date, or a span such as "2h" or "1d 12h". Pure: the time is told."""

import re
from datetime import datetime, timedelta

_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(?:\s*\d+(?:\.\d+)?\s*(?:sec|min|[smhdw]))+\s*", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(sec|min|[smhdw])", re.IGNORECASE | re.ASCII)
LONGEST = timedelta(days=36_500)
"""A hundred years: what is longer is a mistake."""


def span(text: str) -> timedelta:
    """Return the time that a text like "90s", "30 min", "2h", "1d 12h" or "2w" means. Raises ValueError."""
    if not _SPAN.fullmatch(text[:100]):
        raise ValueError(f"{text[:100]!r} is no span of time such as 90s, 30min, 2h, 1d 12h or 2w")
    seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(text))
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(f"{text[:100]!r} is not between a moment and a hundred years")
    return timedelta(seconds=seconds)


def point(text: str, now: datetime) -> datetime:
    """Return the time that is meant: an ISO 8601 date with its offset, or a span from now on. Raises ValueError."""
    if _SPAN.fullmatch(text[:100]):
        return now + span(text)
    try:
        meant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        said = f'{text[:100]!r} is neither a time such as "2026-03-01T18:00+01:00" nor a span such as "2h"'
        raise ValueError(said) from error
    if meant.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no offset: add Z for UTC, or +08:00 and the like")
    return meant


def in_words(time: timedelta) -> str:
    """Return about how long it is, in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    seconds = max(0, int(time.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
