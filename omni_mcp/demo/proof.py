"""What the demo claims, checked against sources that do not depend on each other: MCP, ledger file, cloud, disk."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omni_mcp.demo.answers import HELLO_STEPS
from omni_mcp.demo.books import Books, read_books
from omni_mcp.demo.check import Check
from omni_mcp.demo.stage import PRICES, Stage
from omni_mcp.demo.story import KILLED_IN, Story
from omni_mcp.task import TaskState

TOOLS = (
    *("submit_task", "task_status", "task_result", "list_tasks"),
    *("cancel_task", "answer_task", "resume_pending", "system_mode"),
)

GREETING = "Hello, World!"

OTHERS_SAY = ("天气", "Done, step by step")
"""Found in the results of the other tasks, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the checks look at."""

    story: Story
    books: Books
    requests: Sequence[Mapping[str, Any]]
    """The stub cloud's own log."""
    work_log: Sequence[str]
    sessions: Sequence[str]
    left: Sequence[str]


def collect(story: Story, stage: Stage) -> Evidence:
    """Gather what is left when everything has ended."""
    return Evidence(
        story=story,
        books=read_books(stage.home.ledger, story.submitted[0].task_id),
        requests=stage.requests,
        work_log=stage.work_log,
        sessions=stage.sessions,
        left=stage.left,
    )


def checks(evidence: Evidence) -> Iterator[Check]:
    """Judge the evidence."""
    story = evidence.story
    yield _check(
        "the MCP server offers the eight tools", sorted(story.tools) == sorted(TOOLS), f"{len(story.tools)} tools"
    )
    yield _states(story)
    yield _second_attempt(story)
    yield _session(evidence)
    yield _steps(evidence.work_log)
    yield _answers(story)
    yield _check("hello.py greets", story.greeting == GREETING, story.greeting)
    yield _rerouted(story)
    yield _bill(evidence)
    integrity = evidence.books.integrity
    yield _check("the ledger file is sound after the kill", integrity == "ok", f"integrity_check: {integrity}")
    yield _check("no process is left behind", not evidence.left, ", ".join(evidence.left) or "none")


def _check(what: str, ok: bool, seen: str) -> Check:
    return Check(what=what, ok=ok, seen=seen)


def _states(story: Story) -> Check:
    states = [task.state for task in story.ended]
    done = all(state is TaskState.COMPLETED for state in states)
    return _check("all three tasks completed", done and len(states) == 3, ", ".join(states))


def _second_attempt(story: Story) -> Check:
    attempt, fresh = story.ended[0].attempt, story.successor not in (None, story.killed)
    seen = f"attempt {attempt}, engine {story.killed} → {story.successor}, {story.takeover:.1f} s"
    return _check("a new engine took the coding task over", attempt == 2 and fresh, seen)


def _session(evidence: Evidence) -> Check:
    """One session on disk, its id the one that the ledger had before the first attempt began, in both attempts."""
    runs, notes = {run for _, run in evidence.books.runs}, evidence.story.results[0].notes or {}
    same = len(evidence.books.runs) == 2 and runs == set(evidence.sessions) == {notes.get("session_id")}
    seen = f"runs {', '.join(sorted(runs))}; sessions on disk {', '.join(evidence.sessions)}"
    return _check("both attempts are one session, resumed", same and bool(notes.get("resumed")), seen)


def _steps(work_log: Sequence[str]) -> Check:
    """Each step ends once; the one that the kill cut off begins twice, the others once."""
    counted = Counter(" ".join(line.split()[:2]) for line in work_log)
    expected = Counter(f"{name} {word}" for name in HELLO_STEPS for word in ("begin", "end"))
    expected[f"{KILLED_IN} begin"] = 2
    seen = ", ".join(f"{line} ×{times}" for line, times in counted.items())
    return _check("each step was finished exactly once", counted == expected, seen)


def _answers(story: Story) -> Check:
    texts = [result.text for result in story.results[1:]]
    right = len(texts) == len(OTHERS_SAY) and all(word in text for word, text in zip(OTHERS_SAY, texts, strict=True))
    return _check("the other tasks have their answers", right, f"{[len(text) for text in texts]} characters")


def _rerouted(story: Story) -> Check:
    others = [(task.requested, task.served_by) for task in story.ended[1:]]
    told = all("openclaw is not configured" in (task.reason or "") for task in story.ended[1:])
    seen = ", ".join(f"{requested} → {served_by}" for requested, served_by in others)
    return _check("the executor that is missing was replaced, and that is said", told, seen)


def _bill(evidence: Evidence) -> Check:
    """Known cost equals the cloud's bill; a call that the kill cut off is unknown, never zero."""
    bill = sum(_price(request) for request in evidence.requests)
    known = [cost for cost in evidence.books.costs if cost is not None]
    lost = len(evidence.books.costs) - len(known)
    told = sum(task.cost_usd or 0 for task in evidence.story.ended)
    right = math.isclose(sum(known), bill) if not lost else sum(known) <= bill
    seen = f"ledger ${sum(known):.6f}, cloud ${bill:.6f} for {len(evidence.requests)} calls"
    if lost:
        seen += f"; {lost} cut off by the kill: unknown"
    shown = told > 0 and math.isclose(told, sum(known))
    return _check("the cost in the ledger is the cloud's bill", right and shown, seen)


def _price(request: Mapping[str, Any]) -> float:
    token_in, token_out = PRICES[request["model"]]
    return float(token_in * request["input_tokens"] + token_out * request["output_tokens"])
