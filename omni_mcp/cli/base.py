"""What every command shares: the program, its options, one way to ask the service and to show an answer or an error."""

import functools
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import anyio
import typer
from rich.console import Console

from omni_mcp.app.face import running_face
from omni_mcp.cli import complete
from omni_mcp.cli.program import Program
from omni_mcp.errors import OmniError
from omni_mcp.home import Home
from omni_mcp.lang.console import Speaking
from omni_mcp.service.service import Service
from omni_mcp.settings import load
from omni_mcp.views.view import View

T = TypeVar("T")
Command = Callable[..., None]

app = typer.Typer(
    name="omni-mcp",
    cls=Program,
    help="Hand off work to agents over MCP: recorded durably, routed, resumed after faults.",
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Speaking(soft_wrap=True)
err = Speaking(stderr=True, soft_wrap=True)


def use_home(context: typer.Context, home: Path | None) -> Path | None:
    """Make the home of the command line the one of this process, wherever `--home` stands."""
    return _use("OMNI_HOME", context, home)


def use_config(context: typer.Context, config: Path | None) -> Path | None:
    """Make the settings file of the command line the one of this process and of an engine that it starts."""
    return _use("OMNI_CONFIG", context, config)


def _use(variable: str, context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        os.environ[variable] = str(path.expanduser().absolute())
        _said(context)[variable] = os.environ[variable]
    return path


def named(variable: str, context: typer.Context) -> Path | None:
    """Return what the command line itself said of OMNI_HOME or OMNI_CONFIG."""
    said = _said(context).get(variable)
    return Path(said) if said else None


def _said(context: typer.Context) -> dict[str, str]:
    root = context.find_root()
    root.obj = cast("dict[str, str]", root.obj or {})
    return root.obj


AHome = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder with settings and ledger (else OMNI_HOME, else the user's data folder).",
        callback=use_home,
        show_default=False,
    ),
]
AConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file (else OMNI_CONFIG, else servers.yaml in the home).",
        callback=use_config,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the fields of the MCP tools.")]
_ID = "The task's id, or its first 6 or more characters."
ATask = Annotated[str, typer.Argument(help=_ID, show_default=False, autocompletion=complete.tasks)]
AnOpenTask = Annotated[str, typer.Argument(help=_ID, show_default=False, autocompletion=complete.open_tasks)]

_EVERYWHERE = (("home", AHome), ("config", AConfig))


def command(
    name: str | None = None, *, group: typer.Typer = app
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that takes `--home` and `--config` besides its own options."""

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            own = {key: value for key, value in kwargs.items() if key not in dict(_EVERYWHERE)}
            function(*args, **own)

        signature = inspect.signature(function)
        keyword = inspect.Parameter.KEYWORD_ONLY
        more = [inspect.Parameter(key, keyword, default=None, annotation=kind) for key, kind in _EVERYWHERE]
        run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined]
        run.__annotations__ = {**function.__annotations__, **dict(_EVERYWHERE)}
        group.command(name)(run)
        return function

    return register


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
        err.print(f"problem: {problem}", style="yellow", markup=False, highlight=False)


def print_json(data: object) -> None:
    """Print JSON, Chinese as Chinese."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
