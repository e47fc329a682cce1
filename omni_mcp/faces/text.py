"""What the command line prints for people."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from omni_mcp.decide.times import in_words
from omni_mcp.task import TaskState
from omni_mcp.views import (
    CheckView,
    CopyView,
    EngineView,
    ExecutorView,
    ListView,
    ModeView,
    PurgeView,
    ResultView,
    ResumeView,
    RouteView,
    TaskView,
)

COLOURS = {
    TaskState.COMPLETED: "green",
    TaskState.FAILED: "red",
    TaskState.CANCELLED: "magenta",
    TaskState.WAITING: "yellow",
}
SHORT_ID = 8


def age(then: datetime, now: datetime | None = None) -> str:
    """Return how long ago in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    return in_words((now or datetime.now(UTC)) - then)


def standing(task: TaskView) -> str:
    """Return the state in a word or two, with what it waits for."""
    return f"{task.state} ({task.waiting_for})" if task.waiting_for else str(task.state)


def print_task(out: Console, task: TaskView) -> None:
    """Print everything about one task, a line a fact."""
    facts = {
        "task": task.task_id,
        "state": f"{standing(task)}, for {age(task.since)}",
        "why": task.text,
        "due": task.due_at.isoformat() if task.due_at else None,
        "deadline": task.deadline.isoformat(timespec="seconds") if task.deadline else None,
        "retry of": task.retry_of,
        "served by": _server(task),
        "because": task.reason,
        "attempt": str(task.attempt) if task.attempt else None,
        "progress": task.progress,
        "last activity": f"{age(task.last_activity)} ago",
        "cost": money(task.cost_usd) if task.cost_usd is not None else None,
        "engine": task.engine,
        "next": task.next_step,
    }
    for name, value in facts.items():
        if value is not None:
            out.print(f"{name:>13}  {value}", markup=False, highlight=False)
    for event in task.events or []:
        out.print(f"{event.seq:>13}  {event.at:%H:%M:%S} {event.kind}: {event.text}", markup=False, highlight=False)
    if task.next_seq is not None:
        out.print(f"{'more':>13}  --since {task.next_seq}", markup=False, highlight=False)


def print_purged(out: Console, done: PurgeView) -> None:
    """Print what was removed, or would be."""
    verb = "would remove" if done.dry_run else "removed"
    said = f"{verb} {done.tasks} tasks that were over before {done.before:%Y-%m-%d %H:%M} UTC; kept: {done.kept}"
    out.print(said, markup=False, highlight=False)


def print_check(out: Console, found: CheckView) -> None:
    """Print how sound a ledger is."""
    for problem in found.problems:
        out.print(f"problem: {problem}", markup=False, highlight=False)
    how = f"{len(found.problems)} problems" if found.problems else "sound"
    out.print(f"{found.path}: {how}; {found.tasks} tasks, version {found.version}", markup=False, highlight=False)


def print_copy(out: Console, copy: CopyView) -> None:
    """Print what was copied to where."""
    out.print(f"{copy.path}: {copy.tasks} tasks. {copy.text}", markup=False, highlight=False)


def _server(task: TaskView) -> str | None:
    if task.served_by is None:
        return None
    asked = "" if task.requested in (None, task.served_by) else f" (instead of {task.requested})"
    return f"{task.served_by}{asked}, model {task.model or 'its own'}, endpoint {task.endpoint}"


def money(usd: float | None) -> str:
    """Return an amount of USD; unknown is not zero."""
    return "unknown" if usd is None else f"${usd:.6f}".rstrip("0").rstrip(".")


def task_table(tasks: Sequence[TaskView]) -> Table:
    """Return the short rows as a table."""
    table = Table("task", "state", "age", "att.", "requested", "served by", "progress", "cost", "description")
    for task in tasks:
        table.add_row(
            task.task_id[:SHORT_ID],
            f"[{COLOURS.get(task.state, 'cyan')}]{standing(task)}",
            age(task.since),
            str(task.attempt),
            task.requested or "",
            task.served_by or "",
            _plain(task.progress or task.text or "")[:40],
            money(task.cost_usd) if task.cost_usd is not None else "",
            _plain(task.description)[:40],
        )
    return table


def _plain(text: str) -> str:
    """Return one line in which nothing is markup."""
    return " ".join(text.split()).replace("[", "\\[")


def print_list(out: Console, page: ListView) -> None:
    """Print a page of tasks."""
    if not page.tasks:
        out.print('no tasks; omni-mcp submit "…" makes one')
        return
    out.print(task_table(page.tasks))
    if page.cursor:
        out.print(f"more: --cursor {page.cursor}", markup=False)


def print_result(out: Console, result: ResultView) -> None:
    """Print a result as it is."""
    out.print(result.text, markup=False, highlight=False)
    if result.next_offset is not None:
        out.print(f"… {result.total_chars - result.next_offset} more characters: --offset {result.next_offset}")


def print_route(out: Console, route: RouteView) -> None:
    """Print where a text would go, in one line."""
    model = route.model or "the executor’s own"
    said = f"{route.executor or 'nobody'}  {route.reason}  (type {route.type or 'none'}, model {model})"
    out.print(said, markup=False, highlight=False)


def print_route_steps(out: Console, route: RouteView) -> None:
    """Print where a text would go, and how that was found, step by step."""
    print_route(out, route)
    for step in route.steps:
        out.print(f"  {step}", markup=False, highlight=False)


def print_executors(out: Console, executors: Sequence[ExecutorView]) -> None:
    """Print the executors as a table."""
    table = Table("executor", "usable", "handles", "parallel", "recovery", "tools", "detail")
    for row in executors:
        table.add_row(
            row.name,
            "[green]yes" if row.usable else "[red]no",
            ", ".join(row.handles),
            str(row.parallel),
            row.recovery,
            ", ".join(row.tools or []),
            _plain(row.detail or ""),
        )
    out.print(table)


def print_mode(out: Console, mode: ModeView) -> None:
    """Print how the whole is."""
    out.print(f"mode {mode.mode}: {mode.text}", markup=False, highlight=False)
    out.print(f"engine: {mode.engine}", markup=False, highlight=False)
    out.print(f"open tasks: {mode.open_tasks or 'none'}", markup=False, highlight=False)
    for problem in mode.problems or []:
        out.print(f"problem: {problem}", markup=False, highlight=False)


def print_resumed(out: Console, done: ResumeView) -> None:
    """Print what became of each waiting task."""
    for task in done.tasks:
        out.print(f"{task.task_id[:SHORT_ID]}  {task.action}  {task.text or ''}", markup=False, highlight=False)
    if not done.tasks:
        out.print("nothing waits")


def print_engine(out: Console, engine: EngineView) -> None:
    """Print whether an engine runs."""
    told = f"engine runs, pid {engine.pid}" if engine.running else "no engine runs; the next submit starts one"
    out.print(f"{told}\nhome {engine.home}\nlog {engine.log}", markup=False, highlight=False)
