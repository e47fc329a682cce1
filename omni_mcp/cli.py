"""The command line: the stdio face by default, and every surface that a person needs."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import typer
from rich.console import Console

from omni_mcp import __version__, background
from omni_mcp.app import running_face
from omni_mcp.clients.step import Step
from omni_mcp.errors import BadRequest, OmniError
from omni_mcp.faces import text
from omni_mcp.home import Home
from omni_mcp.service import Service
from omni_mcp.settings import load
from omni_mcp.task import TaskSpec, TaskState
from omni_mcp.views import ExecutorView, View

T = TypeVar("T")

ON_A_TERMINAL = """\
omni-mcp is an MCP server: a client starts it and talks to it over stdin and stdout.
This is a terminal, so nobody does.

Add it to a client:
  claude mcp add omni -- {command}
Use it by hand:
  omni-mcp submit "write a haiku about queues" --wait
  omni-mcp list
See it work without a key or a cloud:
  omni-mcp demo
All commands:
  omni-mcp --help
"""

app = typer.Typer(
    name="omni-mcp",
    help="Hand off work to agents over MCP: recorded durably, routed, resumed after faults.",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def use_home(home: Path | None) -> Path | None:
    """Make the home of the command line the one of this process, wherever `--home` stands."""
    if home is not None:
        os.environ["OMNI_HOME"] = str(home)
    return home


AHome = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder with settings and ledger (else OMNI_HOME, else the user's data folder).",
        callback=use_home,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the fields of the MCP tools.")]
ATask = Annotated[str, typer.Argument(help="The task's id, or its first 6 or more characters.", show_default=False)]


@app.callback(invoke_without_command=True)
def face(
    context: typer.Context,
    home: AHome = None,
    inline: Annotated[bool, typer.Option("--inline", help="Face and engine in one process.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Hand off work to agents over MCP: recorded durably, routed, resumed after faults.

    Without a command this is the MCP server on stdio, as a client starts it.
    """
    if version:
        out.print(__version__, highlight=False)
    elif context.invoked_subcommand is None:
        _serve_stdio(Home.locate(home), inline=inline)


def _serve_stdio(home: Home, *, inline: bool) -> None:
    if sys.stdin.isatty():
        err.print(ON_A_TERMINAL.format(command=Path(sys.argv[0]).absolute()), markup=False, highlight=False)
        raise typer.Exit(2)
    from omni_mcp.stdio import serve_stdio

    serve_stdio(home, inline=inline)


def ask(question: Callable[[Service], Awaitable[T]], *, lasting: bool = False) -> T:
    """Open a face on the home, ask it one thing, and end the program with a clear error if that cannot be."""

    async def asking() -> T:
        async with running_face(Home.locate(), watch=lasting) as service:
            return await question(service)

    with clear_errors():
        return anyio.run(asking)


@contextmanager
def clear_errors() -> Generator[None]:
    """End the program with what went wrong and what to do, instead of a traceback."""
    try:
        yield
    except OmniError as error:
        raise fail(error) from None
    except BaseExceptionGroup as group:
        known, other = group.split(OmniError)
        if known is None or other is not None:
            raise
        raise fail(first(known)) from None


def first(errors: BaseExceptionGroup[OmniError]) -> OmniError:
    """Return the first error of a group."""
    found = errors.exceptions[0]
    return first(found) if isinstance(found, BaseExceptionGroup) else found


def fail(error: OmniError) -> typer.Exit:
    """Say what went wrong and what to do; returns the exit to raise."""
    err.print(f"omni-mcp: {error.message}", style="red", markup=False, highlight=False)
    if error.next_step:
        err.print(f"next: {error.next_step}", markup=False, highlight=False)
    return typer.Exit(1)


def show(view: View, printer: Callable[[Console, Any], None], *, as_json: bool) -> None:
    """Print a view for people, or as JSON."""
    if as_json:
        print_json(view.shown())
    else:
        printer(out, view)


def tell_problems() -> None:
    """Say what of servers.yaml cannot be used, with its line and its fix."""
    for problem in load(Home.locate()).problems:
        err.print(f"servers.yaml: {problem}", style="yellow", markup=False, highlight=False)


def print_json(data: object) -> None:
    """Print JSON, Chinese as Chinese."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


@app.command()
def submit(
    description: Annotated[
        str, typer.Argument(help="What is to be done; `-` reads it from stdin.", show_default=False)
    ],
    type: Annotated[str | None, typer.Option(help="coding, general, always_on, …")] = None,  # noqa: A002
    executor: Annotated[str | None, typer.Option(help="Pin one executor.")] = None,
    model: Annotated[str | None, typer.Option(help="Pin a model.")] = None,
    cwd: Annotated[Path | None, typer.Option(help="Folder to work in.")] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher runs first.")] = 0,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key again gives the same task.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end and print the result.")] = False,
    as_json: AsJson = False,
    home: AHome = None,
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
    )
    task = ask(lambda service: service.submit(spec))
    if wait:
        follow(task.task_id)
        show_result(task.task_id, as_json=as_json)
    else:
        show(task, text.print_task, as_json=as_json)


@app.command()
def status(
    task_id: ATask,
    wait: Annotated[float, typer.Option(min=0, max=50, help="Seconds to wait for an end.")] = 0,
    events: Annotated[bool, typer.Option("--events", help="Print the history too.")] = False,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Say where a task stands.

    Example: `omni-mcp status a1b2c3 --events`
    """
    since = 0 if events else None
    task = ask(lambda service: service.status(task_id, wait_seconds=wait, since_seq=since))
    show(task, text.print_task, as_json=as_json)


@app.command(name="list")
def list_(
    state: Annotated[list[TaskState] | None, typer.Option(help="Only these states (repeat it for several).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option(help="From the page before.")] = None,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """List tasks, newest first.

    Example: `omni-mcp list --state waiting --state executing`
    """
    page = ask(lambda service: service.list(states=state or [], limit=limit, cursor=cursor))
    show(page, text.print_list, as_json=as_json)


@app.command()
def result(
    task_id: ATask,
    offset: Annotated[int, typer.Option(min=0, help="Character to begin at.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Characters.")] = 1_000_000,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Print the result of a task that is over; ends with 1 if it failed."""
    show_result(task_id, offset=offset, limit=limit, as_json=as_json)


def show_result(task_id: str, *, offset: int = 0, limit: int = 1_000_000, as_json: bool) -> None:
    """Print a result; the exit code says how the task ended."""
    found = ask(lambda service: service.result(task_id, offset=offset, limit=limit))
    show(found, text.print_result, as_json=as_json)
    if found.state is not TaskState.COMPLETED:
        raise typer.Exit(1)


@app.command()
def cancel(
    task_id: ATask,
    reason: Annotated[str | None, typer.Option(help="Kept in the history.")] = None,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Stop a task and every process that it started."""
    show(ask(lambda service: service.cancel(task_id, reason=reason)), text.print_task, as_json=as_json)


@app.command()
def resume(
    task_ids: Annotated[list[str] | None, typer.Argument(help="Naming a task is the consent to run it again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Let waiting tasks go on now.

    Example: `omni-mcp resume --dry-run`, then `omni-mcp resume a1b2c3`
    """
    done = ask(lambda service: service.resume(task_ids or None, dry_run=dry_run))
    show(done, text.print_resumed, as_json=as_json)


@app.command()
def watch(
    task_id: Annotated[str | None, typer.Argument(help="One task; without it all that are open.")] = None,
    home: AHome = None,
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


@app.command()
def route(
    description: Annotated[str, typer.Argument(help="The text of a task.", show_default=False)],
    type: Annotated[str | None, typer.Option(help="As if given with the task.")] = None,  # noqa: A002
    executor: Annotated[str | None, typer.Option(help="As if pinned.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Each rule that was tried, each executor too.")] = False,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Say where a task would go and why, without submitting it.

    Example: `omni-mcp route --explain "查一下天气"`
    """
    tell_problems()
    spec = TaskSpec(description=description, type=type, executor=executor)
    printer = text.print_route_steps if explain else text.print_route
    show(ask(lambda service: service.explain(spec)), printer, as_json=as_json)


@app.command()
def mode(as_json: AsJson = False, home: AHome = None) -> None:
    """Say how the whole is."""
    show(ask(lambda service: service.mode()), text.print_mode, as_json=as_json)


@app.command()
def executors(
    check: Annotated[bool, typer.Option(help="Open a session to each and list its tools.")] = True,
    as_json: AsJson = False,
    home: AHome = None,
) -> None:
    """Show each executor with its health and tools; ends with 1 if none is usable."""
    tell_problems()
    rows = anyio.run(look_at_executors) if check else ask(configured)
    if as_json:
        print_json([row.shown() for row in rows])
    else:
        text.print_executors(out, rows)
    if not any(row.usable for row in rows):
        raise typer.Exit(1)


async def look_at_executors() -> Sequence[ExecutorView]:
    """Open a session to each executor of the home."""
    from omni_mcp.executors.survey import survey

    return await survey(load(Home.locate()))


async def configured(service: Service) -> Sequence[ExecutorView]:
    """Return the executors as configured."""
    return service.executors()


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8765,
    host: Annotated[str, typer.Option(help="Only loopback: this version has no tokens.")] = "127.0.0.1",
    home: AHome = None,
) -> None:
    """Serve MCP over Streamable HTTP at /mcp, with the engine in the same process.

    Example: `omni-mcp serve --port 8765`, then `claude mcp add --transport http omni http://127.0.0.1:8765/mcp`
    """
    from omni_mcp.http import serve_http

    with clear_errors():
        serve_http(Home.locate(), host=host, port=port)


@app.command()
def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON.")] = False,
) -> None:
    """Show the main job from end to end, in a home of its own, without a key or a cloud (about 25 s)."""
    from omni_mcp.demo.run import run_demo

    raise typer.Exit(run_demo(as_json=as_json))


AClient = Annotated[
    str,
    typer.Argument(
        help="claude-code, claude-desktop, cursor, vscode, codex, gemini-cli, openclaw or json.",
        show_default=False,
        metavar="CLIENT",
    ),
]
Agreed = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
InProject = Annotated[bool, typer.Option("--project", help="With `json`: the .mcp.json of this folder.")]


@app.command()
def install(
    context: typer.Context,
    client: AClient,
    yes: Agreed = False,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a server of that name.")] = False,
    project: InProject = False,
    home: AHome = None,
) -> None:
    """Add this server to a client's own configuration: shows the change, asks, and keeps a back-up.

    `json` prints what other clients take by hand. Example: `omni-mcp install claude-code`
    """
    from omni_mcp.clients import install as clients
    from omni_mcp.clients.launch import console_script

    named = home or context.find_root().params.get("home")
    root = Home.locate(named).root if named else None
    with clear_errors():
        command = console_script()
        if client == "json" and not project:
            print_json(clients.snippet(command, root))
        else:
            place = clients.place_of(client, project=project)
            step = clients.installing(client, place, command=command, home=root, force=force)
            carry_out(step, agreed=yes, dry_run=dry_run)
    if root is None and "OMNI_HOME" in os.environ:
        err.print("note: clients do not see OMNI_HOME as it is set here; --home writes it down for them")


@app.command()
def uninstall(
    client: AClient,
    yes: Agreed = False,
    dry_run: DryRun = False,
    project: InProject = False,
) -> None:
    """Take this server out of a client again: its configuration is then what it was before.

    Example: `omni-mcp uninstall claude-code --dry-run`
    """
    from omni_mcp.clients import install as clients

    with clear_errors():
        place = clients.place_of(client, project=project)
        carry_out(clients.uninstalling(client, place), agreed=yes, dry_run=dry_run)


def carry_out(step: Step, *, agreed: bool, dry_run: bool) -> None:
    """Show a step, ask, and do it."""
    if step.shown:
        out.print(step.shown, markup=False, highlight=False)
        if dry_run:
            return
        if not (agreed or confirmed()):
            raise typer.Exit(1)
    step.carry_out()
    out.print(step.done, markup=False, highlight=False)


def confirmed() -> bool:
    """Ask the person at the terminal. Raises BadRequest where nobody is."""
    if not sys.stdin.isatty():
        raise BadRequest("nobody is here to agree", next_step="add --yes, or --dry-run to look only")
    return typer.confirm("Do it?", default=True, err=True)


engine_app = typer.Typer(
    help="The background engine of a home: the one process that runs its tasks.", no_args_is_help=True
)
app.add_typer(engine_app, name="engine")


@engine_app.command(name="run")
def engine_run(home: AHome = None) -> None:
    """Run the engine here until it is idle for long; faces start it in the background by themselves."""
    from omni_mcp.engine_process import run_engine

    with clear_errors():
        run_engine(Home.locate())


@engine_app.command(name="status")
def engine_status(as_json: AsJson = False, home: AHome = None) -> None:
    """Say whether an engine runs; ends with 1 if not."""
    found = background.view(Home.locate())
    show(found, text.print_engine, as_json=as_json)
    if not found.running:
        raise typer.Exit(1)


@engine_app.command(name="stop")
def engine_stop(home: AHome = None) -> None:
    """Ask the engine to give back its work and go; the tasks go on with the next engine."""
    with clear_errors():
        pid = background.stop(Home.locate())
    out.print(f"engine {pid} has gone" if pid else "no engine runs", highlight=False)


@engine_app.command(name="restart")
def engine_restart(home: AHome = None) -> None:
    """Stop the engine and start a new one."""
    with clear_errors():
        background.stop(Home.locate())
        started = background.start(Home.locate())
        if started is not None:
            started.wait(Home.locate().engine_lock)
    out.print(f"engine {started or 'already started by a client'}", highlight=False)


@engine_app.command(name="logs")
def engine_logs(
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="From the end.")] = 50, home: AHome = None
) -> None:
    """Print the end of the engine's log."""
    log = Home.locate().engine_log
    if not log.exists():
        err.print(f"no log yet: {log}", highlight=False)
        raise typer.Exit(1)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        out.print(line, markup=False, highlight=False)
