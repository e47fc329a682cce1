"""What an OpenClaw gateway means when it refuses or goes away, and what mends it.

By code and details, never by message text: an edge in between (Moltworker) rewrites that.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from omni_mcp.errors import ExecutorError
from omni_mcp.task import FailureClass

TOKEN_FIX = "set `token` of its row in servers.yaml to the token of the gateway"  # noqa: S105 - no token
SCOPE_FIX = (
    "approve this device on the gateway's machine: `openclaw devices list`, `openclaw devices approve <requestId>`"
)
ACCESS_FIX = "set the headers CF-Access-Client-Id and CF-Access-Client-Secret of its row to a Cloudflare service token"
START_FIX = "start it: `openclaw gateway run`; `url` of its row says where it is looked for"
UPDATE_FIX = "update it: npm install -g openclaw@latest; protocols 3 and 4 are spoken here"

STARTING = frozenset({"startup-sidecars"})
"""Reasons of a gateway that is coming up."""
EDGE_BUSY = frozenset({502, 503, 504, 521, 522, 523, 530})
"""HTTP statuses of a gateway, or an edge before it, that is coming up or going down."""

FIXES: Mapping[str, str] = {
    "AUTH_TOKEN_MISMATCH": TOKEN_FIX,
    "AUTH_TOKEN_MISSING": TOKEN_FIX,
    "DEVICE_IDENTITY_REQUIRED": TOKEN_FIX,
    "PAIRING_REQUIRED": SCOPE_FIX,
    "MISSING_SCOPE": SCOPE_FIX,
    "FORBIDDEN": SCOPE_FIX,
    "PROTOCOL_MISMATCH": UPDATE_FIX,
}
"""By `details.code`, else by `code`."""

AUTH = frozenset({"NOT_PAIRED", "MISSING_SCOPE", "FORBIDDEN", "UNAUTHORIZED"})
"""Codes of a refused credential, beside all that begin with AUTH_, DEVICE_ and PAIRING_."""


def mapping(value: Any) -> dict[str, Any]:
    """Take a mapping; anything else is an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]


Loose = Annotated[dict[str, Any], BeforeValidator(mapping)]
"""A mapping whose absence is no error."""


class GatewayError(ExecutorError):
    """A gateway could not be asked, or did not do it."""


class GatewayDown(GatewayError):
    """It cannot be reached; nothing was sent."""

    kind = FailureClass.CONFIG


class GatewayStarting(GatewayDown):
    """It is coming up or going down: soon it can be reached."""


class GatewayLost(GatewayError):
    """The connection ended in mid call: what became of the call is unknown."""

    kind = FailureClass.INTERRUPTED

    def __init__(self, close_code: int | None) -> None:
        super().__init__(f"the connection to the gateway ended (close code {close_code or 'none'})")


class Refusal(BaseModel):
    """An error as the gateway writes it; what is missing is empty."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str = "UNKNOWN"
    message: str = "no reason given"
    details: Loose = Field(default_factory=dict[str, Any])
    retryable: bool = False

    @property
    def cause(self) -> str:
        """The more precise of its two codes."""
        return str(self.details.get("code") or self.code)


class GatewayRefused(GatewayError):
    """It answered with an error; nothing was done."""

    def __init__(self, method: str, refusal: Refusal) -> None:
        super().__init__(f"{method} was refused: {refusal.cause}: {refusal.message}", next_step=fix_of(refusal))
        self.refusal = refusal
        self.kind = kind_of(refusal)


def kind_of(refusal: Refusal) -> FailureClass:
    """Say what a refusal is: a credential, the settings, or none of these."""
    codes = (refusal.cause, refusal.code)
    if any(code in AUTH or code.startswith(("AUTH_", "DEVICE_", "PAIRING_")) for code in codes):
        return FailureClass.AUTH
    if refusal.code in ("INVALID_REQUEST", "UNAVAILABLE") or refusal.cause == "PROTOCOL_MISMATCH":
        return FailureClass.CONFIG
    return FailureClass.UNKNOWN


def fix_of(refusal: Refusal) -> str | None:
    """Say what a person does about it, with the command where there is one."""
    asked = str(refusal.details.get("requestId") or "")
    if refusal.cause == "PAIRING_REQUIRED" and re.fullmatch(r"[\w-]{1,80}", asked):
        return f"approve this device: `openclaw devices approve {asked}` on its machine, or /_admin/ of a Moltworker"
    return FIXES.get(refusal.cause) or FIXES.get(refusal.code)


def is_starting(refusal: Refusal) -> bool:
    """Whether a gateway only needs time."""
    return refusal.code == "UNAVAILABLE" and (refusal.retryable or refusal.details.get("reason") in STARTING)


def of_status(status: int, *, url: str) -> GatewayError:
    """Say what an HTTP status in place of a WebSocket means."""
    if status in EDGE_BUSY:
        return GatewayStarting(f"the gateway at {url} is not ready (HTTP {status})")
    said = f"{url} answered with HTTP {status} instead of a WebSocket"
    if status in (301, 302, 303, 307, 308):  # to a login page
        return refused_login(said, fix=ACCESS_FIX)
    if status in (401, 403):
        return refused_login(said, fix=TOKEN_FIX)
    return GatewayDown(said, next_step=START_FIX)


def refused_login(message: str, *, fix: str) -> GatewayError:
    """Return the refusal of a credential that no frame told of."""
    error = GatewayError(message, next_step=fix)
    error.kind = FailureClass.AUTH
    return error
