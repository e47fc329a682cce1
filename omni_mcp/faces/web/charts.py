"""Where the bars of a chart lie. Pure; in shares of a whole, so that a picture fits a screen of any width."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from omni_mcp.views.attempts import AttemptsView, AttemptView
from omni_mcp.views.costs import CellView, CostsView
from omni_mcp.views.mode import OutagesView

COLOURS = 8
"""Colours that are told apart; whoever comes later shares the last one, and is named `others`."""
FULL = 1000.0
"""The width or height of every picture, in its own units."""
NARROWEST = 3.0
"""Of a bar, so that what was short is still seen."""
LONGEST = 92
"""Days that a chart has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of a picture: where it begins, how long it is, and what colours it."""

    at: float
    size: float
    colour: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One column: what a day came to, part by part, from the bottom up."""

    day: date
    usd: float
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What each day cost."""

    days: Sequence[Day]
    legend: Sequence[tuple[str, str, float]]
    """Name, colour and USD of each part."""
    top: float
    """What the whole height stands for, in USD."""


def cost_columns(costs: CostsView, today: date, *, by: str) -> Columns:
    """Return a column for each day, oldest first; `by` is `executor` or `model`."""
    cells = costs.cells or []
    parts = _parts(cells, by)
    first = max(costs.since.astimezone().date(), today - timedelta(days=LONGEST - 1))
    days = [first + timedelta(days=n) for n in range((today - first).days + 1)]
    found = {day: [cell for cell in cells if cell.name == day.isoformat()] for day in days}
    top = nice(max((sum(cell.usd for cell in of) for of in found.values()), default=0.0))
    return Columns(
        days=[
            Day(day=day, usd=sum(cell.usd for cell in of), bars=list(_stack(of, by, parts, top)))
            for day, of in found.items()
        ],
        legend=_legend(cells, by, parts),
        top=top,
    )


def part_of(cell: CellView, by: str) -> str:
    """Return the name of what a cell is a part of."""
    return (cell.executor if by == "executor" else cell.model) or "unknown"


def _parts(cells: Sequence[CellView], by: str) -> Sequence[str]:
    """Return the names, those that cost most first."""
    sums: dict[str, float] = {}
    for cell in cells:
        sums[part_of(cell, by)] = sums.get(part_of(cell, by), 0.0) + cell.usd
    return sorted(sums, key=lambda name: (-sums[name], name))


def _colour(parts: Sequence[str], name: str) -> str:
    return f"c{min(parts.index(name), COLOURS - 1)}"


def _legend(cells: Sequence[CellView], by: str, parts: Sequence[str]) -> Sequence[tuple[str, str, float]]:
    usd = {name: sum(cell.usd for cell in cells if part_of(cell, by) == name) for name in parts}
    named = [(name, _colour(parts, name), usd[name]) for name in parts]
    if len(named) <= COLOURS:
        return named
    others = sum(amount for _, _, amount in named[COLOURS - 1 :])
    return [*named[: COLOURS - 1], ("others", f"c{COLOURS - 1}", others)]


def _stack(cells: Sequence[CellView], by: str, parts: Sequence[str], top: float) -> Iterator[Bar]:
    at = FULL
    for name in parts:
        usd = sum(cell.usd for cell in cells if part_of(cell, by) == name)
        if usd > 0:
            size = FULL * usd / top
            at -= size
            yield Bar(at=at, size=size, colour=_colour(parts, name), title=name)


def nice(most: float) -> float:
    """Return a round number that is not below: 1, 2, 2.5 or 5 times a power of ten."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= most * (1 - 1e-9))


def attempt_bars(view: AttemptsView, now: datetime) -> Sequence[Bar]:
    """Return where each attempt lies in the life of its task: with its executor, or still on its way there."""
    begins, ends = view.created_at, max(view.over_at or now, view.created_at)
    span = max((ends - begins).total_seconds(), 1e-6)

    def drawn(since: datetime, until: datetime, colour: str) -> Bar:
        size = max(FULL * (until - since).total_seconds() / span, NARROWEST)
        at = min(FULL * (since - begins).total_seconds() / span, FULL - size)
        return Bar(at=max(at, 0.0), size=min(size, FULL), colour=colour)

    def lane(attempt: AttemptView) -> Bar:
        ended = attempt.ended_at or now
        if attempt.bound_at is None:
            return drawn(attempt.began_at, ended, "dispatching")
        return drawn(attempt.bound_at, ended, attempt.end.partition(" ")[0] if attempt.end else "executing")

    return [lane(each) for each in view.attempts]


def mode_bars(view: OutagesView, since: datetime) -> Sequence[Bar]:
    """Return in which mode the house was from then to now."""
    span = max((view.now - since).total_seconds(), 1e-6)

    def drawn(begins: datetime, ends: datetime, mode: str) -> Bar:
        size = max(FULL * (ends - begins).total_seconds() / span, 0.0 if mode == "normal" else NARROWEST)
        return Bar(at=FULL * (begins - since).total_seconds() / span, size=size, colour=mode)

    spans = [drawn(max(begins, since), ends, mode) for begins, ends, mode in _spans(view) if ends > since]
    return sorted(spans, key=lambda each: each.colour != "normal")  # what went wrong is drawn over what went well


def _spans(view: OutagesView) -> Iterator[tuple[datetime, datetime, str]]:
    ends = view.now
    for change in view.changes:
        yield change.at, ends, change.mode
        ends = change.at
    yield datetime.min.replace(tzinfo=view.now.tzinfo), ends, view.changes[-1].was if view.changes else view.mode
