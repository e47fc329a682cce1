"""What a person does on the page: each is a form, ends in one call of the service, and leads back to a page.

An answer given here is a person's, who was let in by a link; unless the request comes out of a run of an executor.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from anyio.to_thread import run_sync
from starlette.requests import Request

from omni_mcp.errors import QuestionGone
from omni_mcp.faces.web.door import ROOT
from omni_mcp.faces.web.forms import Form, answer_of, one, raise_of, spec_of
from omni_mcp.faces.web.peer import run_behind
from omni_mcp.service.service import Service
from omni_mcp.views.task import TaskView

CANCEL_LIMIT = 3.0
"""Seconds that a page waits for the confirmation; it goes on showing what becomes of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """Where to go on, and what there is to say."""

    to: str
    text: str | None = None


def task_path(task_id: str) -> str:
    """Return where a task is shown."""
    return f"{ROOT}/tasks/{task_id}"


async def submit(service: Service, _request: Request, form: Form) -> Done:
    """Hand off a task; the form's key makes one of it however often it is sent."""
    task = await service.submit(spec_of(form))
    return Done(task_path(task.task_id), task.engine)


async def _cancel(service: Service, request: Request, form: Form) -> Done:
    task = await service.cancel(request.path_params["task_id"], reason=one(form, "reason") or None, limit=CANCEL_LIMIT)
    return _to(task, None if task.cancel_requested_at is None else task.text)


async def _resume(service: Service, request: Request, form: Form) -> Done:
    done = await service.resume([request.path_params["task_id"]], add_budget_usd=raise_of(form))
    (found,) = done.tasks
    return Done(task_path(found.task_id), f"{found.action}: {found.text}")


async def _resume_all(service: Service, _request: Request, _form: Form) -> Done:
    done = await service.resume(None)
    counted = ", ".join(f"{action} {count}" for action, count in done.counts.items())
    return Done(f"{ROOT}/", f"in all: {counted}" if counted else "nothing waits")


async def _retry(service: Service, request: Request, _form: Form) -> Done:
    return _to(await service.retry(request.path_params["task_id"]))


async def _answer(service: Service, request: Request, form: Form) -> Done:
    task_id, wanted = request.path_params["task_id"], one(form, "question_id")
    found = [each for each in await service.questions(task_id) if each.question_id == wanted]
    if not found:
        raise QuestionGone(task_id, wanted)
    a_person = await run_sync(run_behind, request) is None
    return _to(await service.answer(task_id, wanted, answer_of(form, found[0]), person=a_person))


def _to(task: TaskView, text: str | None = None) -> Done:
    return Done(task_path(task.task_id), text)


Deed = Callable[[Service, Request, Form], Awaitable[Done]]

DEEDS: Mapping[str, Deed] = {
    f"{ROOT}/resume": _resume_all,
    f"{ROOT}/tasks/{{task_id}}/cancel": _cancel,
    f"{ROOT}/tasks/{{task_id}}/resume": _resume,
    f"{ROOT}/tasks/{{task_id}}/retry": _retry,
    f"{ROOT}/tasks/{{task_id}}/answer": _answer,
}
"""What can be done besides handing off a task, by where its form is sent."""
