"""What each page shows: what the service says, gathered for one template."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from omni_mcp.errors import BadRequest, TaskNotFound
from omni_mcp.faces.text.mode import lasted
from omni_mcp.faces.watch import FOR_A_PERSON
from omni_mcp.faces.web.charts import attempt_bars, cost_columns, mode_bars
from omni_mcp.faces.web.door import ROOT
from omni_mcp.faces.web.forms import GIVEN
from omni_mcp.service.result import RESULT_PAGE
from omni_mcp.service.service import Service
from omni_mcp.service.tasks import EVENTS
from omni_mcp.task import TERMINAL, TaskState, WaitingFor, new_id
from omni_mcp.views.mode import ModeView
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import TaskView

RUNNING, QUEUED, RECENT, A_KIND = 200, 8, 8, 5
"""Tasks that the first page reads: at work, free to run, over, and of each kind that waits for a person."""
ROWS = 50
"""Tasks on one page of the list."""
RANGES = (7, 30, 90)
"""Days that costs can be shown for."""
RIBBON = timedelta(days=7)
"""What the picture of the outages shows."""
STACKS = ("executor", "model")
STATES = frozenset(TaskState)

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, and what of it is kept up to date while it is open."""

    path: str
    template: str
    values: Callable[[Service, Request], Awaitable[Values]]
    parts: Sequence[str]
    """Names of the templates in `parts/`; each is an element of that id."""


async def _now(service: Service, _request: Request) -> Values:
    mode = await service.mode()
    running = (await service.list(states=[TaskState.EXECUTING, TaskState.DISPATCHING], limit=RUNNING)).tasks
    return {
        "mode": mode,
        "needy": await _needy(service, mode),
        "running": running,
        "at_work": Counter(task.served_by for task in running),
        "queued": (await service.list(states=[TaskState.IDLE], limit=QUEUED)).tasks,
        "recent": (await service.list(states=list(TERMINAL), limit=RECENT)).tasks,
        "executors": service.executors(),
        "costs": await service.costs(days=1),
        "now": service.clock.now(),
    }


async def _needy(service: Service, mode: ModeView) -> Sequence[TaskView]:
    """Return the first tasks of each kind that wait for a person."""
    ids = [each for waits in FOR_A_PERSON for each in (mode.held_ids or {}).get(waits, [])[:A_KIND]]
    found: list[TaskView] = []
    for task_id in ids:
        try:
            found.append(await service.status(task_id))
        except TaskNotFound:  # purged since
            continue
    return [task for task in found if task.waiting_for in FOR_A_PERSON]


async def _tasks(service: Service, request: Request) -> Values:
    states = [TaskState(each) for each in request.query_params.getlist("state") if each in STATES]
    cursor = request.query_params.get("cursor")
    page = await service.list(states=states, limit=ROWS, cursor=cursor)
    mode = await service.mode()
    return {
        "page": page,
        "states": states,
        "cursor": cursor,
        "open_tasks": mode.open_tasks,
        "now": service.clock.now(),
    }


async def _new(service: Service, _request: Request) -> Values:
    executors = service.executors()
    types = sorted({handled for each in executors for handled in each.handles})
    return {"executors": executors, "types": types, "key": f"page-{new_id()}", "given": dict.fromkeys(GIVEN, "")}


async def _task(service: Service, request: Request) -> Values:
    task_id, query = request.path_params["task_id"], request.query_params
    task = await service.status(task_id, since_seq=_number(query.get("since"), -EVENTS))
    attempts = await service.attempts(task.task_id)
    now = service.clock.now()
    return {
        "task": task,
        "attempts": attempts,
        "bars": attempt_bars(attempts, now),
        "questions": await service.questions(task.task_id) if task.waiting_for is WaitingFor.INPUT else [],
        "resumption": await _resumption(service, task),
        "result": await _result(service, task, _number(query.get("offset"), 0)),
        "now": now,
    }


async def _resumption(service: Service, task: TaskView) -> str | None:
    """Return what letting a waiting task go on would do; None: that is not for a person to say now."""
    if task.state is not TaskState.WAITING or task.waiting_for is WaitingFor.INPUT:
        return None
    (found,) = (await service.resume([task.task_id], dry_run=True)).tasks
    return found.text


async def _result(service: Service, task: TaskView, offset: int) -> ResultView | None:
    if task.state not in TERMINAL and task.waiting_for is not WaitingFor.BUDGET:
        return None
    try:
        return await service.result(task.task_id, offset=offset, limit=RESULT_PAGE)
    except BadRequest:  # cancelled before it began, or nothing was produced
        return None


def _number(text: str | None, other: int) -> int:
    return int(text) if text and len(text) < len(str(1 << 60)) and text.isascii() and text.isdigit() else other


async def _costs(service: Service, request: Request) -> Values:
    days = _number(request.query_params.get("days"), RANGES[1])
    days = days if days in RANGES else RANGES[1]
    by = request.query_params.get("by", STACKS[0])
    by = by if by in STACKS else STACKS[0]
    costs = await service.costs(days=days, cells=True)
    today = service.clock.now().astimezone().date()
    return {
        "costs": costs,
        "days": days,
        "by": by,
        "columns": cost_columns(costs, today, by=by),
        "RANGES": RANGES,
        "STACKS": STACKS,
    }


async def _outages(service: Service, _request: Request) -> Values:
    found = await service.outages()
    since = found.now - RIBBON
    return {
        "outages": found,
        "bars": mode_bars(found, since),
        "days": [since + timedelta(days=n) for n in range(RIBBON.days)],
        "spans": lasted(found),
        "mode": await service.mode(),
    }


NEW = Page(path=f"{ROOT}/new", template="new.html", values=_new, parts=())
"""What shows a form again that was not taken, too."""
PAGES = (
    Page(path=f"{ROOT}/", template="now.html", values=_now, parts=("mode", "needy", "running", "executors", "side")),
    Page(path=f"{ROOT}/tasks", template="tasks.html", values=_tasks, parts=("rows",)),
    NEW,
    Page(
        path=f"{ROOT}/tasks/{{task_id}}",
        template="task.html",
        values=_task,
        parts=("head", "questions", "result", "story", "events"),
    ),
    Page(path=f"{ROOT}/costs", template="costs.html", values=_costs, parts=("money",)),
    Page(path=f"{ROOT}/outages", template="outages.html", values=_outages, parts=("outages",)),
)
"""Every page that somebody can look at."""
