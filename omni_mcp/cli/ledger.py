"""Commands about the ledger as a file: check it, copy it, bring a copy back, remove what is long over."""

from pathlib import Path
from typing import Annotated

import typer

from omni_mcp import archive
from omni_mcp.cli.base import AsJson, ask, clear_errors, command, show
from omni_mcp.errors import BadRequest
from omni_mcp.faces.text.ledger import print_check, print_copy, print_purged
from omni_mcp.home import Home
from omni_mcp.ledger.opened import the_file


@command()
def check(
    file: Annotated[Path | None, typer.Argument(help="A backup; without it the ledger of the home.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a ledger, also while it is in use: the file, its references, what it promises. Ends with 1 if not sound.

    Example: `omni-mcp check`
    """
    with clear_errors():
        found = archive.soundness(file or the_file(Home.locate()))
    show(found, print_check, as_json=as_json)
    if found.problems:
        raise typer.Exit(1)


@command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it must not be there yet.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Copy the ledger, also while an engine works on it.

    Example: `omni-mcp backup ~/omni-$(date +%F).db`
    """
    with clear_errors():
        done = archive.backup(Home.locate(), file.expanduser())
    show(done, print_copy, as_json=as_json)


@command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Bring a backup back; the ledger before is kept beside it, and open tasks wait for consent (`resume ID`).

    Example: `omni-mcp engine stop`, then `omni-mcp restore ~/omni-2026-11-25.db`
    """
    with clear_errors():
        done = archive.restore(Home.locate(), file.expanduser())
    show(done, print_copy, as_json=as_json)


@command(name="migrate-ledger")
def migrate_ledger(
    to: Annotated[str, typer.Option("--to", help="postgresql://user@host/database; an empty one.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Move the ledger from its file into PostgreSQL, which several machines can share. No engine may run.

    Example: `omni-mcp migrate-ledger --to 'postgresql://omni:${LEDGER_PASSWORD}@db.example/omni'`
    """
    with clear_errors():
        try:
            from omni_mcp.moving import move
        except ImportError as error:
            raise BadRequest(f"{error}", next_step="pip install 'omni-mcp[cluster]'") from error
        done = move(Home.locate(), to)
    show(done, print_copy, as_json=as_json)


@command()
def purge(
    older_than: Annotated[str, typer.Option("--older-than", help="A span of time, such as 30d.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove tasks that were over before then, with history and result. Costs and idempotency keys stay.

    Example: `omni-mcp purge --older-than 30d --dry-run`
    """
    show(ask(lambda service: service.purge(older_than, dry_run=dry_run)), print_purged, as_json=as_json)
