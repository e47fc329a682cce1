"""Commands about tasks: hand one off, follow it, read it, stop it, let it go on."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from omni_mcp.cli import complete
from omni_mcp.cli.base import AnOpenTask, AsJson, ATask, ask, command, err, show, tell_problems
from omni_mcp.faces.text.executors import print_route, print_route_steps
from omni_mcp.faces.text.result import print_result
from omni_mcp.faces.text.resume import print_resumed
from omni_mcp.faces.text.task import print_story, print_task
from omni_mcp.faces.text.tasks import print_list
from omni_mcp.ledger.base import ResultPart
from omni_mcp.task import TaskSpec, TaskState

ADeadline = Annotated[
    str | None, typer.Option(help="Failed unless it is over by then: a span (2h) or an ISO 8601 time with offset.")
]


@command()
def submit(
    description: Annotated[
        str, typer.Argument(help="What is to be done; `-` reads it from stdin.", show_default=False)
    ],
    type: Annotated[  # noqa: A002
        str | None, typer.Option(help="coding, general, always_on, …", autocompletion=complete.types)
    ] = None,
    executor: Annotated[str | None, typer.Option(help="Pin one executor.", autocompletion=complete.executors)] = None,
    model: Annotated[str | None, typer.Option(help="Pin a model.")] = None,
    cwd: Annotated[Path | None, typer.Option(help="Folder to work in.")] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher runs first.")] = 0,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key again gives the same task.")
    ] = None,
    deadline: ADeadline = None,
    budget: Annotated[
        float | None, typer.Option("--budget-usd", help="What it may cost; reaching that, it waits.")
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option(help="A task that has to complete first (repeat it for several).")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end and print the result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand off a task.

    Example: `omni-mcp submit "写一个 Hello World 函数" --wait`
    """
    spec = TaskSpec(
        description=sys.stdin.read() if description == "-" else description,
        type=type,
        executor=executor,
        model=model,
        cwd=None if cwd is None else str(cwd.absolute()),
        priority=priority,
        idempotency_key=key,
        deadline_said=deadline,
        after=tuple(after or ()),
        budget_usd=budget,
    )
    task = ask(lambda service: service.submit(spec))
    if wait:
        follow(task.task_id)
        show_result(task.task_id, as_json=as_json)
    else:
        show(task, print_task, as_json=as_json)


@command()
def status(
    task_id: ATask,
    wait: Annotated[float, typer.Option(min=0, max=50, help="Seconds to wait for an end.")] = 0,
    events: Annotated[bool, typer.Option("--events", help="Print the history too.")] = False,
    since: Annotated[int, typer.Option(min=0, help="With --events: only what came after this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say where a task stands, and how each attempt at it went.

    Example: `omni-mcp status a1b2c3 --events`
    """
    since_seq = since if events or since else None
    task = ask(lambda service: service.story(task_id, wait_seconds=wait, since_seq=since_seq))
    show(task, print_story, as_json=as_json)


@command("list")
def list_(
    state: Annotated[list[TaskState] | None, typer.Option(help="Only these states (repeat it for several).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option(help="From the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first.

    Example: `omni-mcp list --state waiting --state executing`
    """
    page = ask(lambda service: service.list(states=state or [], limit=limit, cursor=cursor))
    show(page, print_list, as_json=as_json)


@command()
def result(
    task_id: ATask,
    offset: Annotated[int, typer.Option(min=0, help="Character to begin at.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Characters.")] = 1_000_000,
    part: Annotated[ResultPart, typer.Option(help="The text, or what the executor gave besides, as JSON.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Print the result of a task that is over; ends with 1 if it failed."""
    show_result(task_id, offset=offset, limit=limit, part=part, as_json=as_json)


def show_result(
    task_id: str, *, offset: int = 0, limit: int = 1_000_000, part: ResultPart = "text", as_json: bool
) -> None:
    """Print a result; the exit code says how the task ended."""
    found = ask(lambda service: service.result(task_id, offset=offset, limit=limit, part=part))
    show(found, print_result, as_json=as_json)
    if found.state is not TaskState.COMPLETED:
        raise typer.Exit(1)


@command()
def cancel(
    task_id: AnOpenTask,
    reason: Annotated[str | None, typer.Option(help="Kept in the history.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stop a task and every process that it started."""
    show(ask(lambda service: service.cancel(task_id, reason=reason)), print_task, as_json=as_json)


@command()
def retry(task_id: ATask, deadline: ADeadline = None, as_json: AsJson = False) -> None:
    """Try a task that failed or was cancelled again, as a new task.

    Example: `omni-mcp retry a1b2c3`
    """
    show(ask(lambda service: service.retry(task_id, deadline=deadline)), print_task, as_json=as_json)


@command()
def resume(
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(help="Naming a task is the consent to run it again.", autocompletion=complete.open_tasks),
    ] = None,
    add_budget: Annotated[
        float | None, typer.Option("--add-budget-usd", help="Raise the budget of each named task by so much.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let waiting tasks go on now.

    Example: `omni-mcp resume --dry-run`, then `omni-mcp resume a1b2c3`
    """
    done = ask(lambda service: service.resume(task_ids or None, add_budget_usd=add_budget, dry_run=dry_run))
    show(done, print_resumed, as_json=as_json)


@command()
def watch(
    task_id: Annotated[
        str | None, typer.Argument(help="One task; without it all that are open.", autocompletion=complete.open_tasks)
    ] = None,
) -> None:
    """Show live progress until it is over (Ctrl-C ends the watching, not the task)."""
    follow(task_id)


def follow(task_id: str | None) -> None:
    """Show live progress of one task, or of all open ones, until they are over."""
    from omni_mcp.faces.watch import watch_tasks

    try:
        ask(lambda service: watch_tasks(service, err, task_id), lasting=True)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@command()
def route(
    description: Annotated[str, typer.Argument(help="The text of a task.", show_default=False)],
    type: Annotated[  # noqa: A002
        str | None, typer.Option(help="As if given with the task.", autocompletion=complete.types)
    ] = None,
    executor: Annotated[str | None, typer.Option(help="As if pinned.", autocompletion=complete.executors)] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Each rule that was tried, each executor too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say where a task would go and why, without submitting it.

    Example: `omni-mcp route --explain "查一下天气"`
    """
    tell_problems()
    spec = TaskSpec(description=description, type=type, executor=executor)
    printer = print_route_steps if explain else print_route
    show(ask(lambda service: service.explain(spec)), printer, as_json=as_json)
