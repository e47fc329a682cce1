"""Where a ledger on PostgreSQL is, and how that is told without its secret."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

_SECRET = re.compile(r"(?<=//)[^:/?#@]*:(?P<inside>.*)@|[?&](?:password|sslpassword)=(?P<beside>[^&#]*)")


@dataclass(frozen=True, slots=True)
class Place:
    """A libpq URL: what it leaves out (a password, say) libpq takes from PGPASSWORD, ~/.pgpass and its like."""

    url: str

    def __repr__(self) -> str:
        return f"Place({str(self)!r})"

    def __str__(self) -> str:
        """Return the URL without its password."""
        return _SECRET.sub(_hidden, self.url)

    def without_secret(self, said: str) -> str:
        """Return what libpq said without the password, which it repeats where it cannot read the URL."""
        for secret in self._secrets():
            for form in (secret, unquote(secret)):
                said = said.replace(form, "***")
        return said

    def _secrets(self) -> list[str]:
        found = [match["inside"] or match["beside"] for match in _SECRET.finditer(self.url)]
        return [secret for secret in found if secret]


def _hidden(found: re.Match[str]) -> str:
    group = "inside" if found["inside"] is not None else "beside"
    start, end = (at - found.start() for at in found.span(group))
    return f"{found[0][:start]}***{found[0][end:]}"
