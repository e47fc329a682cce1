"""The port: how a delivery proves whose it is, and what it says. Raising is refusing; nothing here touches a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from omni_mcp.errors import BadRequest
from omni_mcp.servers_file import SourceRow


class DeliveryRefused(BadRequest):
    """A delivery that is not taken, with the HTTP status that says so."""

    code = "delivery_refused"

    def __init__(self, status: int, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sender told, once it is believed."""

    key: str
    """The same at each try of one event, and of no other."""
    status: str
    """How it went there: a row says which become tasks."""
    values: Mapping[str, str]
    """What the template of the task may name."""


class Kind(Protocol):
    """A kind of sender; a module is one."""

    def admit(self, row: SourceRow, headers: Mapping[str, str], body: bytes) -> None:
        """Find out whether the sender is who the row says. Raises DeliveryRefused."""
        ...

    def read(self, body: bytes) -> Delivery:
        """Return what a delivery says. Raises DeliveryRefused."""
        ...
