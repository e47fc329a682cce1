"""Commands about what completed tasks left for the tasks after them."""

from typing import Annotated

import typer

from omni_mcp.cli.base import AsJson, app, ask, command, show, tell_problems
from omni_mcp.faces.text.memory import print_forgotten, print_memories

memory_app = typer.Typer(
    help="What completed tasks left for the tasks after them; `memory` in servers.yaml.", no_args_is_help=True
)
app.add_typer(memory_app, name="memory")

HowMany = Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many.")]


@command("search", group=memory_app)
def memory_search(
    words: Annotated[str, typer.Argument(help="In any language; each word counts.", show_default=False)],
    limit: HowMany = 10,
    as_json: AsJson = False,
) -> None:
    """Show the memories that share words with these, the nearest first, of all folders.

    Example: `omni-mcp memory search "deploy script"`
    """
    tell_problems()
    show(ask(lambda service: service.memories(words, limit=limit)), print_memories, as_json=as_json)


@command("list", group=memory_app)
def memory_list(limit: HowMany = 20, as_json: AsJson = False) -> None:
    """Show what tasks left, the newest first."""
    tell_problems()
    show(ask(lambda service: service.memories(limit=limit)), print_memories, as_json=as_json)


@command("forget", group=memory_app)
def memory_forget(
    task_id: Annotated[str, typer.Argument(help="The id of its task, or the beginning of it.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Remove the memory of a task; the task itself stays.

    Example: `omni-mcp memory forget a1b2c3`
    """
    show(ask(lambda service: service.forget(task_id)), print_forgotten, as_json=as_json)
