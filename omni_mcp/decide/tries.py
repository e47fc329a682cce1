"""When a notice that a channel did not take is tried again, and when it is given up. Pure."""

from datetime import datetime, timedelta

FIRST_PAUSE = timedelta(seconds=5)
"""After the first try that failed; it doubles with each one."""
LONGEST_PAUSE = timedelta(minutes=15)
GIVE_UP = timedelta(hours=24)
"""How long after it arose a notice is worth another try."""


def next_try(failed: int, *, arose: datetime, now: datetime) -> datetime | None:
    """Return when to try again after `failed` tries (1 or more); None: given up."""
    pause = FIRST_PAUSE * 2 ** min(failed - 1, 10)
    again = now + min(pause, LONGEST_PAUSE)
    return again if again < arose + GIVE_UP else None


def is_due(due_at: datetime, now: datetime) -> bool:
    """Whether its time has come; a time further away than any pause was set by a clock that was wrong."""
    return not now < due_at <= now + LONGEST_PAUSE
