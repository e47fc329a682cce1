"""Keeps an open page up to date: Server-Sent Events with the parts of it that have changed.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import timedelta

import anyio

from omni_mcp.errors import OmniError
from omni_mcp.faces.web.render import Part
from omni_mcp.ledger.base import Ledger

PACE = 0.4
"""Seconds between two pictures, however much is written."""
QUIET = timedelta(seconds=15)
"""After which it looks again though nothing was written, and a connection that is gone is noticed."""
TROUBLE = 3.0
"""Seconds until it tries again where the ledger does not answer."""


async def news(
    ledger: Ledger,
    parts: Callable[[], Awaitable[Mapping[str, Part]]],
    may_stay: Callable[[], Awaitable[bool]],
    told_of: Callable[[OmniError], str],
) -> AsyncGenerator[str]:
    """Yield an event whenever a part has changed, for as long as whoever looks may stay."""
    sent: dict[str, str] = {}
    while await may_stay():
        try:
            seen = await ledger.watermark()
            shown = await parts()
        except OmniError as error:
            yield _event("trouble", told_of(error))
            await anyio.sleep(TROUBLE)
            continue
        changed = {name: part for name, part in shown.items() if sent.get(name) != part.mark}
        yield _event("parts", {name: [part.mark, part.inside] for name, part in changed.items()})
        sent |= {name: part.mark for name, part in changed.items()}
        await anyio.sleep(PACE)
        await _changed(ledger, seen)
    yield _event("left", "")


async def _changed(ledger: Ledger, seen: tuple[int, int]) -> None:
    try:
        await ledger.changed(seen, timeout=QUIET)
    except OmniError:  # the next look says so
        await anyio.sleep(TROUBLE)


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
