"""The channel port: one verb, which tells somebody a notice or raises why not."""

import hashlib
from typing import Protocol

from omni_mcp.lang import say
from omni_mcp.ledger.base import Delivery

LIMIT = 10.0
"""Seconds that a channel may take for one notice."""
PROGRAM = "Omni-Orchestrator"


class Channel(Protocol):
    """A way to a person or a program."""

    @property
    def name(self) -> str:
        """Its name in ledger, log and answers: the same after a restart, without a secret."""
        ...

    async def tell(self, delivery: Delivery) -> None:
        """Tell a notice, within `LIMIT` seconds. Raises NotTold."""
        ...


def named(kind: str, where: str, secret: str) -> str:
    """Return the name of a channel whose address may be a secret: enough of it to tell it from others."""
    return f"{kind} {where} ({hashlib.sha256(secret.encode()).hexdigest()[:6]})"


def title(delivery: Delivery) -> str:
    """Return the headline for people. Blocks."""
    mode = delivery.notice.data.get("mode")
    return f"{PROGRAM}: {say(mode)}" if mode else PROGRAM


def body(delivery: Delivery) -> str:
    """Return the text for people, in the language of this process, with the time here: it may arrive late. Blocks."""
    return f"{say(delivery.notice.text)}\n{delivery.notice.at.astimezone():%Y-%m-%d %H:%M %Z}"
