"""What is wrong with an installation."""

from omni_mcp.views.view import View


class FindingView(View):
    """One fact about an installation, and what mends it."""

    code: str
    severity: str
    """`ok`, `note`, `warning` or `error`."""
    about: str | None = None
    text: str
    fix: str | None = None
    """A command for a shell, as it stands."""
    needs: str | None = None
    """What the command asks a person for."""
    safe: bool | None = None
    """Whether `--fix` runs it."""


class FixView(View):
    """A fix that was run."""

    code: str
    fix: str
    done: bool
    text: str | None = None


class DoctorView(View):
    """What is wrong with an installation, and what was mended."""

    home: str
    settings: str
    worst: str
    findings: list[FindingView]
    mended: list[FixView] | None = None
