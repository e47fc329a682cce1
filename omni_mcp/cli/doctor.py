"""`omni-mcp doctor`: what is wrong with this installation, and the command that mends it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from omni_mcp.cli.base import AsJson, clear_errors, command, err, show
from omni_mcp.cli.clients import Agreed, confirmed
from omni_mcp.faces.text.doctor import print_doctor
from omni_mcp.home import Home
from omni_mcp.views.doctor import FixView

if TYPE_CHECKING:
    from omni_mcp.doctor.finding import Finding


@command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Run the fixes that are safe, after asking.")] = False,
    yes: Agreed = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read the whole ledger too, and open each executor.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong, say what it means and which command mends it; ends with 1 if something is an error.

    Changes nothing without `--fix`, asks no model and no provider. Example: `omni-mcp doctor --fix`
    """
    from omni_mcp.doctor.report import examine, view

    home = Home.locate()
    findings = examine(home, deep=deep)
    mended: Sequence[FixView] = mend(findings, agreed=yes) if fix else ()
    if mended:
        findings = examine(home, deep=deep)
    report = view(home, findings, mended)
    show(report, print_doctor, as_json=as_json)
    if report.worst == "error":
        raise typer.Exit(1)


def mend(findings: "Sequence[Finding]", *, agreed: bool) -> Sequence[FixView]:
    """Show the commands that need nobody, ask once, and run them."""
    from omni_mcp.doctor.mend import mended, safe_fixes

    fixes = safe_fixes(findings)
    for each in fixes:
        err.print(f"{each.code}: {each.fix}", markup=False, highlight=False)
    with clear_errors():
        if not fixes or not (agreed or confirmed()):
            return []
    return [mended(each) for each in fixes]
