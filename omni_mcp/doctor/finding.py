"""What a check says: how it is, how bad that is, and the command that mends it."""

import re
from dataclasses import dataclass
from enum import StrEnum

AN_EDIT = "an edit"
"""What a command that opens an editor needs."""
_URL = re.compile(r"""(\w://)(?:[^\s/?#'"]*@)?([^\s?#'"]*)(?:\?[^\s#'"]*)?""")


class Severity(StrEnum):
    """How bad it is, the best first."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """Something does not work as it could, or may break; the rest works."""
    ERROR = "error"
    """Something that is configured does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact about an installation."""

    code: str
    """Which fact; `docs/doctor.md` has them all."""
    severity: Severity
    text: str
    about: str | None = None
    """The executor, client, variable or model that it is about, where there are several."""
    fix: str | None = None
    """A command for a POSIX shell, as it stands."""
    needs: str | None = None
    """What the command asks a person for, or has a person do; None: it needs nobody."""
    safe: bool = False
    """Whether `doctor --fix` may run it: it needs nobody, takes away nothing, and ends by itself."""


def ok(code: str, text: str, *, about: str | None = None) -> Finding:
    """Return that something is as it should be."""
    return Finding(code=code, severity=Severity.OK, text=text, about=about)


def note(
    code: str, text: str, *, about: str | None = None, fix: str | None = None, needs: str | None = None
) -> Finding:
    """Return something that is worth knowing."""
    return Finding(code=code, severity=Severity.NOTE, text=text, about=about, fix=fix, needs=needs)


def without_keys(text: str) -> str:
    """Return a text whose URLs have neither their user and password nor their query: keys stand there."""
    return _URL.sub(r"\1\2", text)
