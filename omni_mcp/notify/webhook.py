"""Signed webhooks by the Standard Webhooks specification: https://www.standardwebhooks.com."""

import json
from urllib.parse import urlsplit

import anyio
from standardwebhooks import Webhook as Signer

from omni_mcp import __version__
from omni_mcp.errors import NotTold
from omni_mcp.ledger.base import Delivery
from omni_mcp.notify.base import LIMIT, named
from omni_mcp.servers_file.notify import WebhookRow
from omni_mcp.task import Clock, SystemClock
from omni_mcp.this_machine import leads_here

TYPES = {"mode": "mode.changed"}
"""What a kind of notice is called in a payload; the others have their own name."""
TAKEN = range(200, 300)
REDIRECTS = range(300, 400)
GONE = 410
"""By the specification: the receiver wants no more."""


class Webhook:
    """One receiver. What it has taken is answered with 2xx; anything else is tried again."""

    def __init__(self, row: WebhookRow, clock: Clock | None = None) -> None:
        self._url = row.url.get_secret_value()
        self._signer = Signer(row.secret.get_secret_value())
        self._clock = clock or SystemClock()
        self.name = named("webhook", urlsplit(self._url).hostname or "", self._url)

    async def tell(self, delivery: Delivery) -> None:
        """Send it. The id and the body are the same at each try, the time and so the signature are not."""
        status = await self._posted(_payload(delivery), delivery.id)
        if status == GONE:
            raise NotTold(f"HTTP {status}: the receiver wants no more", final=True)
        if status in REDIRECTS:
            raise NotTold(f"HTTP {status}: a redirect, which is not followed")
        if status not in TAKEN:
            raise NotTold(f"HTTP {status}")

    async def _posted(self, payload: str, message_id: str) -> int:
        import httpx  # not needed by faces, which only name the channels

        try:
            with anyio.fail_after(LIMIT):
                async with (
                    httpx.AsyncClient(timeout=None, trust_env=not leads_here(self._url)) as client,  # noqa: S113 - the limit is around all
                    client.stream(
                        "POST", self._url, content=payload.encode(), headers=self._headers(payload, message_id)
                    ) as response,
                ):
                    return response.status_code
        except TimeoutError as error:
            raise NotTold(f"no answer in {LIMIT:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # its text may cite the URL
            raise NotTold(f"no connection ({type(error).__name__})") from error

    def _headers(self, payload: str, message_id: str) -> dict[str, str]:
        now = self._clock.now()
        return {
            "content-type": "application/json",
            "user-agent": f"omni-mcp/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now, payload),
        }


def _payload(delivery: Delivery) -> str:
    notice = delivery.notice
    return json.dumps(
        {
            "type": TYPES.get(notice.kind, notice.kind),
            "timestamp": notice.at.isoformat(),
            "data": {**notice.data, "text": notice.text},
        },
        ensure_ascii=False,
    )
