"""The timeline of an outage: what the demo did, what the mode did, what became of each task, in one order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from omni_mcp.demo.faults.books import Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What the demo itself did to its parts."""

    at: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A line of the timeline."""

    at: float
    mode: str
    what: str
    tasks: Sequence[str] = ()
    endpoint: str = ""
    attempt: int | None = None
    cost: float | None = None

    @property
    def key(self) -> tuple[float, str, Sequence[str]]:
        """By which it is known again."""
        return self.at, self.what, self.tasks


def moments(books: Books, deeds: Sequence[Deed]) -> Sequence[Moment]:
    """Return all that happened, in order: what we did, what the mode did, what became of each task."""
    mine = [Moment(at=deed.at, mode=books.mode_at(deed.at), what=deed.what) for deed in deeds]
    modes = [Moment(at=c.at, mode=c.mode, what=f"{c.was} → {c.mode}: {c.cause}") for c in books.changes]
    return sorted([*mine, *modes, *_of_tasks(books)], key=lambda moment: moment.at)


def grouped(happened: Sequence[Moment]) -> Sequence[Moment]:
    """Return it with one line for tasks of which the same is told one after the other."""
    return [_together(list(group)) for _, group in groupby(happened, key=_same)]


def _same(each: Moment) -> tuple[Any, ...]:
    """Return by what a moment is put together with the next; what is no task's stands alone."""
    return (each.mode, each.what, each.endpoint, each.attempt) if each.tasks else each.key


def _together(group: Sequence[Moment]) -> Moment:
    costs = [each.cost for each in group if each.cost is not None]
    tasks = tuple(task for each in group for task in each.tasks)
    return replace(group[0], tasks=tasks, cost=sum(costs) if costs else None)


def _of_tasks(books: Books) -> Iterator[Moment]:
    for row in books.states:
        task = books.tasks[row["id"]]
        ended = "→ completed" in row["text"]
        yield Moment(
            at=row["at"],
            mode=books.mode_at(row["at"]),
            what="completed" if ended else "failed" if "→ failed" in row["text"] else "waits for a cloud",
            tasks=(task["description"],),
            endpoint=(books.endpoint(row["id"], row["attempt"]) or "") if row["attempt"] else "",
            attempt=row["attempt"],
            cost=task["cost"] if ended else None,
        )
