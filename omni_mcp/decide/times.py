"""Times as people and models write them: an ISO date, or a span such as "2h" or "1d 12h". Pure: the time is told."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {
    "s|sec|seconds?|秒": 1,
    "m|min|minutes?|分钟": 60,
    "h|hours?|小时": 3600,
    "d|days?|天": 86_400,
    "w|weeks?|周": 604_800,
}
_PART = re.compile("|".join(rf"(\d+(?:\.\d+)?)\s*(?:{unit})(?![a-z])" for unit in _UNITS), re.IGNORECASE)
_SPAN = re.compile(rf"\s*(?:(?:{_PART.pattern})\s*)+", re.IGNORECASE)
_LENGTH = 100
"""Characters; what is longer is no span."""
LONGEST = timedelta(days=36_500)
"""A hundred years: what is longer is a mistake."""


def span(text: str) -> timedelta:
    """Return what a text like "90s", "30 min", "2 hours", "1d 12h" or "2周" means. Raises ValueError."""
    if not _is_span(text):
        raise ValueError(f"{text[:_LENGTH]!r} is no span of time such as 90s, 30min, 2h, 1d 12h or 2w")
    sizes = list(_UNITS.values())
    seconds = sum(
        float(found[found.lastindex or 1]) * sizes[(found.lastindex or 1) - 1] for found in _PART.finditer(text)
    )
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(f"{text!r} is not between a moment and a hundred years")
    return timedelta(seconds=seconds)


def _is_span(text: str) -> bool:
    return len(text) <= _LENGTH and _SPAN.fullmatch(text) is not None


def point(text: str, now: datetime) -> datetime:
    """Return the time that is meant: an ISO 8601 date with its offset, or a span from now on. Raises ValueError."""
    if _is_span(text):
        return now + span(text)
    try:
        meant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        said = f'{text[:_LENGTH]!r} is neither a time such as "2026-03-01T18:00+01:00" nor a span such as "2h"'
        raise ValueError(said) from error
    if meant.tzinfo is None:
        raise ValueError(f"{text[:_LENGTH]!r} has no offset: add Z for UTC, or +08:00 and the like")
    return _in_utc(meant, text)


def _in_utc(meant: datetime, text: str) -> datetime:
    """Return it in UTC, in which it may lie beyond the years that there are. Raises ValueError."""
    try:
        return meant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text[:_LENGTH]!r} is beyond the years 1 to 9999 in UTC") from error


def in_words(time: timedelta) -> str:
    """Return about how long it is, in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    seconds = max(0, int(time.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
