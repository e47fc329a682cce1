"""What several pages print: times, amounts, a fact in a line, and the words of others."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from unicodedata import category

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from omni_mcp.decide.budgets import usd_text
from omni_mcp.decide.times import in_words
from omni_mcp.lang import say
from omni_mcp.lang.console import harmless

SEVERITIES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
UNSEEN = ("Cc", "Cf", "Co", "Zl", "Zp")
"""Unicode categories of what is not seen: control, format (also of direction), private, line and paragraph ends."""
LABEL = 13
"""Columns of a label, on its right the fact."""


def age(then: datetime, now: datetime | None = None) -> str:
    """Return how long ago in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    return in_words((now or datetime.now(UTC)) - then)


def local(when: datetime, now: datetime | None = None) -> str:
    """Return a time to the second as clocks show it here, with how far off it is."""
    at = f"{when.astimezone():%Y-%m-%d %H:%M:%S}"
    ahead = when - (now or datetime.now(UTC))
    return f"{at} (in {in_words(ahead)})" if ahead > timedelta(0) else f"{at} ({in_words(-ahead)} ago)"


def visible(text: str) -> str:
    """Return a line of others without what hides or turns round what stands beside it."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(each) in UNSEEN else each for each in text)


def print_fact(out: Console, name: str, value: str) -> None:
    """Print a fact beside its label."""
    label = say(name)
    out.print(as_it_is(f"{' ' * (LABEL - cell_len(label))}{label}  {value}"))


def money(usd: float | None) -> str:
    """Return an amount of USD; unknown is not zero."""
    return "unknown" if usd is None else usd_text(usd)


def counted(tasks: Mapping[str, int]) -> str:
    """Return how many there are of each."""
    return ", ".join(f"{say(state)} {count}" for state, count in tasks.items())


def as_it_is(text: str) -> Text:
    """Return what is said as it is, without what could move a terminal."""
    return Text(harmless(text))
