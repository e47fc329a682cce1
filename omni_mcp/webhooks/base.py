"""The port: how a delivery proves whose it is, and what it says. Raising is refusing; nothing here touches a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydantic_core import from_json

from omni_mcp.errors import BadRequest
from omni_mcp.servers_file.webhooks import SourceRow


class DeliveryRefused(BadRequest):
    """A delivery that is not taken, with the HTTP status that says so."""

    code = "delivery_refused"

    def __init__(
        self, status: int, message: str, *, next_step: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sender told, once it is believed."""

    key: str
    """The same at each try of one event, and of no other."""
    event: str
    """What happened there: a row says what becomes a task."""
    values: Mapping[str, str]
    """What the template of the task may name."""
    payload: Any
    """The whole of it: the template may point into it."""


def parsed(body: bytes) -> Any:
    """Return the payload of a delivery. Raises DeliveryRefused."""
    try:
        return from_json(body)
    except ValueError as error:
        raise DeliveryRefused(422, f"the body is no JSON: {error!s:.200}") from error


def field(payload: Any, name: str) -> str:
    """Return a text of a payload; empty where it has none of that name."""
    value = cast("Mapping[str, Any]", payload).get(name) if isinstance(payload, dict) else None
    return value if isinstance(value, str) else ""


class Kind(Protocol):
    """A kind of sender; a module is one."""

    def admit(self, row: SourceRow, headers: Mapping[str, str], body: bytes) -> None:
        """Find out whether the sender is who the row says. Raises DeliveryRefused."""
        ...

    def read(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Return what a delivery says. Raises DeliveryRefused."""
        ...
