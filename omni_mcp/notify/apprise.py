"""Notices through apprise, which knows some hundred services. It runs in a process of its own.

So a service that hangs or breaks is ended with it, its URL (which is a secret) stands in no list of processes, and the
engine does not carry what apprise imports.
"""

import json
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from pydantic import SecretStr

from omni_mcp.errors import NotTold
from omni_mcp.ledger.base import Delivery
from omni_mcp.notify.apprise_child import Answer
from omni_mcp.notify.base import body, named, title
from omni_mcp.notify.child import run

MEANS: Mapping[int, str] = {
    Answer.NOT_INSTALLED: "apprise is not installed",
    Answer.UNKNOWN: "apprise does not know such a URL",
    Answer.REFUSED: "the service did not take it",
}
HOPELESS = (Answer.NOT_INSTALLED, Answer.UNKNOWN)
"""What another try does not mend."""
KINDS: Mapping[str | None, str] = {None: "info", "normal": "success"}
"""Apprise's word for a notice of a mode; of the other modes it is a warning."""


class Apprise:
    """One URL of apprise."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url.get_secret_value()
        self.name = named("apprise", urlsplit(self._url).scheme, self._url)

    async def tell(self, delivery: Delivery) -> None:
        """Have apprise send it."""
        await self._asked({"url": self._url, **await run_sync(_said, delivery)})

    async def check(self) -> None:
        """Find out whether apprise can use the URL; nothing is sent. Raises NotTold."""
        await self._asked({"url": self._url})

    async def _asked(self, said: dict[str, str]) -> None:
        argv = [sys.executable, "-P", "-m", "omni_mcp.notify.apprise_child"]
        code = (await run(argv, given=json.dumps(said).encode())).code
        if code != Answer.DONE:
            raise NotTold(MEANS.get(code) or f"apprise broke, exit code {code}", final=code in HOPELESS)


def _said(delivery: Delivery) -> dict[str, str]:
    """Return what apprise is given, in its words. Blocks."""
    kind = KINDS.get(delivery.notice.data.get("mode"), "warning")
    return {"title": title(delivery), "body": body(delivery), "kind": kind}
