"""What a request has to be before a page answers it: for this machine, from the page itself, and of somebody let in.

Loopback names only: a name that somebody else's DNS points to us (rebinding) is none of ours. What changes something
has to come from the page: its Origin is ours, and its form carries the key of its session. The cookie is SameSite
Strict, but a site has no port, and neither have cookies: so neither is enough alone.
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import hmac
import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request

from omni_mcp.errors import OmniError
from omni_mcp.faces.web.keys import form_key

ROOT = "/web"
ENTER = f"{ROOT}/enter"
STATIC = f"{ROOT}/static"
FORM_KEY = "form_key"
"""The field of every form that carries the key of its session."""
LARGEST = 2 * 1024 * 1024
"""Bytes of a form."""
GET_IN = "omni-mcp dashboard"

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""On every answer; https://www.w3.org/TR/CSP3/"""

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)


class NotLetIn(OmniError):
    """A request that no page answers."""

    code = "not_let_in"

    def __init__(self, status: int, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


def check_request(method: str, headers: Headers) -> None:
    """Refuse what is not for this machine, or not from the page itself. Raises NotLetIn."""
    host = headers.get("host", "")
    if not _LOOPBACK.fullmatch(host):
        raise NotLetIn(
            403,
            f"the page answers on this machine only, not as {host[:100]!r}",
            next_step="open it as 127.0.0.1 or localhost; from elsewhere through a tunnel: ssh -L 8765:127.0.0.1:8765",
        )
    if method in ("GET", "HEAD"):
        _check_reading(headers)
    else:
        _check_writing(headers, host)


def _check_reading(headers: Headers) -> None:
    """Refuse what another site's page loads; a link that somebody follows is no harm."""
    site, how = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
    if site not in ("none", "same-origin") and how != "navigate":
        raise NotLetIn(403, "another site asked for this")


def _check_writing(headers: Headers, host: str) -> None:
    origin = headers.get("origin")
    ours = headers.get("sec-fetch-site") == "same-origin" if origin is None else origin == f"http://{host}"
    if not ours or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise NotLetIn(
            403,
            f"this was not sent by the page itself but by {(origin or 'nobody')[:100]!r}; nothing was done",
            next_step="do it on the page",
        )
    if int(headers.get("content-length") or LARGEST + 1) > LARGEST:
        raise NotLetIn(413, f"a form has at most {LARGEST} bytes")


def check_form(session: str, given: object) -> None:
    """Refuse a form that does not carry the key of its session. Raises NotLetIn."""
    if not (isinstance(given, str) and hmac.compare_digest(given.encode(), form_key(session).encode())):
        raise NotLetIn(
            403, "this form is of another session; nothing was done", next_step="load the page again, and send it again"
        )


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie: cookies know no ports, and each home has its page at one of its own."""
    return f"omni_page_{request.url.port or 80}"


def no_session() -> NotLetIn:
    """Say that whoever asks has to be let in first."""
    return NotLetIn(
        401,
        "this page is for whoever omni-mcp runs for, and nobody was let in here yet, or not lately",
        next_step=f"{GET_IN} prints a link that lets this browser in",
    )
