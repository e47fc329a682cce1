"""What the command line prints of one task."""

from datetime import UTC, datetime

from rich.console import Console

from omni_mcp.decide.times import in_words
from omni_mcp.faces.text.question import print_question
from omni_mcp.faces.text.words import age, local, money, print_fact
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID
from omni_mcp.views.attempts import AttemptView, StoryView
from omni_mcp.views.task import TaskView


def standing(task: TaskView) -> str:
    """Return the state in a word or two, with what it waits for."""
    return f"{task.state} ({task.waiting_for})" if task.waiting_for else str(task.state)


def print_task(out: Console, task: TaskView) -> None:
    """Print everything about one task, a line a fact."""
    facts: dict[str, str | None] = {
        "task": task.task_id,
        "state": f"{standing(task)}, for {age(task.since)}",
        "why": task.text,
        "due": local(task.due_at) if task.due_at else None,
        "deadline": local(task.deadline) if task.deadline else None,
        "source": task.source,
        "retry of": task.retry_of,
        "served by": _server(task),
        "because": task.reason,
        "attempt": str(task.attempt) if task.attempt else None,
        "last activity": f"{age(task.last_activity)} ago",
        "cost": cost_line(task),
        "engine": task.engine,
        "next": task.next_step,
    }
    for name, value in facts.items():
        if value is not None:
            print_fact(out, name, say(value, task=task.task_id[:SHORT_ID]))
    if task.progress is not None:
        print_fact(out, "progress", task.progress)
    for question in task.questions or []:
        print_question(out, question)
    for event in task.events or []:
        said = event.text if event.kind == "progress" else say(event.text, task=task.task_id[:SHORT_ID])
        print_fact(out, str(event.seq), f"{event.at:%H:%M:%S} {event.kind}: {said}")
    if task.next_seq is not None:
        print_fact(out, "more", f"--since {task.next_seq}")


def print_story(out: Console, task: StoryView) -> None:
    """Print everything about one task, and a line for each attempt."""
    print_task(out, task)
    for each in task.attempts:
        print_fact(out, f"attempt {each.attempt}", attempt_line(each))


def attempt_line(attempt: AttemptView) -> str:
    """Return who made an attempt, with which model by which way, what that cost, and how it ended."""
    ended = attempt.ended_at or datetime.now(UTC)
    parts = (
        attempt.executor or say("nobody yet"),
        attempt.model,
        attempt.route or attempt.endpoint,
        attempt_cost(attempt),
        f"{attempt.began_at.astimezone():%H:%M:%S}, {in_words(ended - attempt.began_at)}",
        say(attempt.end or "runs"),
    )
    return " · ".join(part for part in parts if part)


def attempt_cost(attempt: AttemptView) -> str:
    """Return what an attempt cost in a few columns; a `?` stands for calls of unknown cost."""
    unknown = "+?" if attempt.cost_unknown_calls else ""
    return (money(attempt.cost_usd) + unknown) if attempt.cost_usd is not None else unknown.removeprefix("+")


def news(task: TaskView) -> str:
    """Return what there is to tell of a task: the words of its executor as they are, else ours."""
    return task.progress or say(task.text or "", task=task.task_id[:SHORT_ID])


def _server(task: TaskView) -> str | None:
    if task.served_by is None:
        return None
    asked = "" if task.requested in (None, task.served_by) else f" (instead of {task.requested})"
    return f"{task.served_by}{asked}, model {task.model or 'its own'}, endpoint {task.endpoint}"


def cost_line(task: TaskView) -> str | None:
    """Return what a task cost, of what budget, and what of that is not known; None: there is nothing to say."""
    if task.cost_usd is None and task.budget_usd is None and task.cost_unknown_calls is None:
        return None
    spent = money(task.cost_usd or 0.0)
    said = spent if task.budget_usd is None else f"{spent} of a budget of {money(task.budget_usd)}"
    if not task.cost_unknown_calls:
        return said
    return f"{said}; besides {task.cost_unknown_calls} calls of unknown cost"
