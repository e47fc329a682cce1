"""What the command line prints of what `init` found and wrote."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from omni_mcp.faces.text.words import as_it_is
from omni_mcp.lang import say
from omni_mcp.lang.console import Folding
from omni_mcp.views.init import InitView, RewriteView


def print_init(out: Console, init: InitView) -> None:
    """Print what was found, the file, what was rewritten, and what to do next."""
    for line in _found(init.found):
        out.print(line, markup=False, highlight=False)
    out.print(f"\n{init.text}", markup=False, highlight=False)
    if init.rewrites:
        out.print(rewrite_table(init.rewrites))
    for problem in init.problems or []:
        out.print(f"problem: {problem}", style="yellow", markup=False, highlight=False)
    out.print(f"{'wrote' if init.written else 'not written:'} {init.file}", markup=False, highlight=False)
    if init.backup:
        out.print(f"what was there is in {init.backup}", markup=False, highlight=False)
    for step in init.next_steps:
        out.print(f"next: {step}", markup=False, highlight=False)


def _found(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that init found."""
    for program in found["programs"]:
        yield f"found {program['name']} {program['version'] or '(says no version)'}: {program['path']}"
    if proxy := found["proxy"]:
        models = ", ".join(proxy["models"]) or "does not tell its models"
        yield f"found LiteLLM at {proxy['base_url']}: {models if proxy['answers'] else 'does not answer'}"
    if found["openclaw"]:
        yield f"found something at {found['openclaw']}, where OpenClaw listens: docs/openclaw.md has its row"
    if found["keys"]:
        yield f"found the variables {', '.join(found['keys'])}"
    for project in found["projects"]:
        yield f"found the compose project {project['name']}: {project['files']}"
    if restart := found["restart"]:
        yield f"found what could start LiteLLM again: {restart['command']}"
    if not any(found.values()):
        yield "found no agent, no LiteLLM and no key"


def rewrite_table(rewrites: Sequence[RewriteView]) -> Table:
    """Return what was rewritten as a table."""
    table = Folding("in the file", "becomes", "because")
    for each in rewrites:
        table.add_row(*map(as_it_is, (say(each.where or "the whole"), say(each.what), say(each.why))))
    return table
