"""What the command line prints of what `doctor` found."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from omni_mcp.faces.text.words import SEVERITIES, as_it_is
from omni_mcp.lang import say
from omni_mcp.views.doctor import DoctorView, FindingView

SEVERITY = 7
"""Columns of a severity."""


def print_doctor(out: Console, report: DoctorView) -> None:
    """Print what was mended, what was found, and how much of what."""
    for fix in report.mended or []:
        told = f": {fix.text}" if fix.text else ""
        out.print(as_it_is(f"{say('ran' if fix.done else 'FAILED')}  {fix.fix}{told}"))
    for finding in report.findings:
        _print_finding(out, finding)
    found = [finding.severity for finding in report.findings]
    out.print(Text(", ".join(f"{found.count(word)} {say(word)}" for word in SEVERITIES)))
    if any(finding.safe for finding in report.findings):
        out.print("omni-mcp doctor --fix runs the fixes that are safe", highlight=False)


def _print_finding(out: Console, finding: FindingView) -> None:
    about = f"{finding.about}: " if finding.about else ""
    severity = _in_column(say(finding.severity), style=SEVERITIES[finding.severity])
    out.print(severity + as_it_is(f"  {finding.code}  {about}{say(finding.text)}"))
    if finding.fix:
        needs = f"   ({say('needs')} {say(finding.needs)})" if finding.needs else ""
        out.print(_in_column(say("fix")) + as_it_is(f"  {finding.fix}{needs}"))


def _in_column(word: str, style: str = "") -> Text:
    return Text(" " * (SEVERITY - cell_len(word)) + word, style=style)
