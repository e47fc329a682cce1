"""`doctor --fix`: run the fix commands that need nobody, one after the other, each shown with what it did."""

import subprocess
from collections.abc import Sequence

from omni_mcp.doctor.finding import Finding, Severity
from omni_mcp.views.doctor import FixView

LIMIT = 120
"""Seconds that a fix may take: an engine has 30 to give back its work, and 20 to come up."""


def safe_fixes(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return what may be mended without anybody, each command once."""
    bad = [each for each in findings if each.safe and each.fix and each.severity in (Severity.WARNING, Severity.ERROR)]
    return list({each.fix: each for each in bad}.values())


def mended(finding: Finding) -> FixView:
    """Run the fix of a finding in a shell."""
    command = finding.fix or ""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return FixView(code=finding.code, fix=command, done=False, text=str(error))
    said = (done.stderr + done.stdout).decode(errors="replace").strip()
    return FixView(code=finding.code, fix=command, done=done.returncode == 0, text=said or None)
