"""What the demo of faults claims, checked against MCP, the ledger file, the clouds' own logs and the work log."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from omni_mcp.demo.answers import RELEASE_STEPS, confirmed
from omni_mcp.demo.check import Check
from omni_mcp.demo.cloud import CHAT, MESSAGES, OK
from omni_mcp.demo.faults.books import Books, read_books
from omni_mcp.demo.faults.stage import BACKUP_KEY, LITELLM_KEY, PRICES, FaultStage
from omni_mcp.demo.faults.story import Story
from omni_mcp.task import Mode, TaskState, WaitingFor

WAY = (Mode.DEGRADED, Mode.NORMAL, Mode.BRAINSTEM, Mode.NORMAL)

PROXY, DIRECT = "litellm-proxy", "direct"
ENDPOINTS: Mapping[str, str] = {Mode.NORMAL: PROXY, Mode.DEGRADED: DIRECT, "back": PROXY, Mode.BRAINSTEM: PROXY}
"""Where the orders of each act have to be bound; those that met the darkness tried more than once."""

TAIL = 4
"""Characters of a key that a cloud logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checks look at."""

    story: Story
    books: Books
    calls: Sequence[Mapping[str, Any]]
    """The model calls that the clouds logged, in order."""
    looks: Sequence[Mapping[str, Any]]
    """Who looked whether they are there."""
    work_log: Sequence[str]
    sessions: Sequence[str]
    left: Sequence[str]

    @property
    def answered(self) -> Sequence[Mapping[str, Any]]:
        """The calls that a cloud answered."""
        return [call for call in self.calls if call["mode"] == OK]


def collect(story: Story, stage: FaultStage) -> Evidence:
    """Gather what is left when everything has ended."""
    lines = sorted((line for cloud in stage.clouds for line in stage.logged(cloud)), key=lambda line: line["at"])
    return Evidence(
        story=story,
        books=read_books(stage.home.ledger),
        calls=[line for line in lines if line["path"] in (CHAT, MESSAGES)],
        looks=[line for line in lines if line["path"] not in (CHAT, MESSAGES)],
        work_log=stage.work_log,
        sessions=stage.sessions,
        left=stage.left,
    )


def checks(evidence: Evidence) -> Iterator[Check]:
    """Judge the evidence."""
    yield _completed(evidence)
    yield _no_faults(evidence)
    yield _way(evidence.books)
    yield _told_once(evidence.books)
    yield _endpoints(evidence)
    yield _keys(evidence)
    yield _held(evidence.story)
    yield _nothing_begun(evidence)
    yield _answered_once(evidence)
    yield _steps(evidence.work_log)
    yield _session(evidence)
    yield _to_and_fro(evidence)
    yield _bill(evidence)
    integrity = evidence.books.integrity
    yield _check("the ledger file is sound", integrity == "ok", f"integrity_check: {integrity}")
    yield _check("no process is left behind", not evidence.left, ", ".join(evidence.left) or "none")


def _check(what: str, ok: bool, seen: str) -> Check:
    return Check(what=what, ok=ok, seen=seen)


def _counted(words: Iterator[str]) -> str:
    return ", ".join(f"{word} ×{times}" for word, times in Counter(words).items()) or "none"


def _completed(evidence: Evidence) -> Check:
    states = [task.state for task in evidence.story.ended]
    in_books = [task["state"] for task in evidence.books.tasks.values()]
    done = states == in_books and set(states) == {TaskState.COMPLETED}
    return _check("all tasks completed by themselves", done, _counted(iter(states)))


def _no_faults(evidence: Evidence) -> Check:
    faults = sum(task["faults"] for task in evidence.books.tasks.values())
    return _check(
        "the outages counted against no task", faults == 0, f"{faults} faults in {len(evidence.books.tasks)} tasks"
    )


def _way(books: Books) -> Check:
    way = [change.mode for change in books.changes]
    return _check("the mode went there and back, twice", tuple(way) == WAY, " → ".join([Mode.NORMAL, *way]))


def _told_once(books: Books) -> Check:
    modes = [change.mode for change in books.changes]
    return _check("each change has one notice in the ledger", books.notices == modes, f"{len(books.notices)} notices")


def _endpoints(evidence: Evidence) -> Check:
    """The endpoint that served an order is the one of the mode in which it was submitted."""
    seen = [(act, task.endpoint) for act, task in _orders(evidence.story) if act in ENDPOINTS]
    right = all(endpoint == ENDPOINTS[act] for act, endpoint in seen)
    said = _counted(f"{act}: {endpoint}" for act, endpoint in seen)
    return _check("the endpoint of each order is the one of its mode", right, said)


def _orders(story: Story) -> Sequence[tuple[str, Any]]:
    return list(zip(story.acts, story.ended, strict=True))[1:]


def _keys(evidence: Evidence) -> Check:
    """The clouds say the same: the key tells whether LiteLLM called or we."""
    wrong = [
        number
        for number, (act, _) in enumerate(_orders(evidence.story), start=1)
        if act in ENDPOINTS
        and _key_of(evidence, number) != [_tail(BACKUP_KEY if act == Mode.DEGRADED else LITELLM_KEY)]
    ]
    seen = _counted(f"…{call['key']}" for call in evidence.answered)
    return _check("the clouds' own logs say the same, by the key of each call", not wrong, seen)


def _key_of(evidence: Evidence, number: int) -> Sequence[str]:
    return [call["key"] for call in evidence.answered if call["text"].startswith(confirmed(str(number)))]


def _tail(key: str) -> str:
    return key[-TAIL:]


def _held(story: Story) -> Check:
    waited = [task for act, task in zip(story.acts, story.held, strict=True) if act == Mode.BRAINSTEM]
    right = all((task.state, task.waiting_for) == (TaskState.WAITING, WaitingFor.CLOUD) for task in waited)
    unused = all(task.attempt == 0 for task in waited)
    seen = f"{len(waited)} tasks, {sum(task.attempt for task in waited)} attempts used"
    return _check("what came in the dark waited for a cloud", right and unused and bool(waited), seen)


def _nothing_begun(evidence: Evidence) -> Check:
    [(dark, bright)] = list(evidence.books.spans(Mode.BRAINSTEM)) or [(0.0, math.inf)]
    begun = [row for row in evidence.books.attempts if dark < row["began_at"] < bright]
    served = [
        call for call in evidence.calls if dark < call["at"] < bright and call["path"] == CHAT and call["mode"] == OK
    ]
    looks = sum(dark < look["at"] < bright for look in evidence.looks)
    seen = f"{len(begun)} attempts, {len(served)} answers, {looks} looks without a model call in {bright - dark:.0f} s"
    return _check("in brainstem nothing was dispatched", not begun and not served, seen)


def _answered_once(evidence: Evidence) -> Check:
    orders = len(evidence.story.ended) - 1
    times = [len(_key_of(evidence, number)) for number in range(1, orders + 1)]
    return _check("each order was answered exactly once", set(times) == {1}, f"{sum(times)} answers to {orders} orders")


def _steps(work_log: Sequence[str]) -> Check:
    counted = Counter(" ".join(line.split()[:2]) for line in work_log)
    expected = Counter(f"{name} {word}" for name in RELEASE_STEPS for word in ("begin", "end"))
    return _check(
        "each step of the release was done exactly once", counted == expected, _counted(iter(counted.elements()))
    )


def _session(evidence: Evidence) -> Check:
    task_id = evidence.story.ended[0].task_id
    runs = {row["run_id"] for row in evidence.books.attempts if row["id"] == task_id}
    notes = evidence.story.release.notes or {}
    same = runs == set(evidence.sessions) == {notes.get("session_id")}
    seen = f"runs {', '.join(sorted(runs))}; sessions on disk {', '.join(evidence.sessions)}"
    return _check("the release went on in one session", same, seen)


def _to_and_fro(evidence: Evidence) -> Check:
    """Its calls went by LiteLLM, then directly, then by LiteLLM again, as the modes did."""
    keys = [call["key"] for call in evidence.answered if call["path"] == MESSAGES]
    ways = [keys[0], *(after for before, after in pairwise(keys) if after != before)] if keys else []
    right = ways == [_tail(LITELLM_KEY), _tail(BACKUP_KEY), _tail(LITELLM_KEY)]
    return _check("its model calls moved to the other endpoint and back", right, " → ".join(f"…{key}" for key in ways))


def _bill(evidence: Evidence) -> Check:
    """Each answered call is in the ledger with its price; a call that nobody answered cost nothing that is known."""
    bill = sum(_price(call) for call in evidence.answered)
    known = [cost for cost in evidence.books.costs if cost is not None]
    right = math.isclose(sum(known), bill) and len(known) == len(evidence.answered)
    failed = len(evidence.books.costs) - len(known)
    seen = f"ledger ${sum(known):.6f}, cloud ${bill:.6f} for {len(evidence.answered)} calls"
    if failed:
        seen += f"; {failed} met an outage: unknown"
    return _check("the cost in the ledger is the clouds' bill", right, seen)


def _price(call: Mapping[str, Any]) -> float:
    token_in, token_out = PRICES[call["model"]]
    return float(token_in * call["input_tokens"] + token_out * call["output_tokens"])
