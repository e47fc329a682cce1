"""The face for webhooks: `POST /hooks/{source}` takes what a row of `webhooks` admits, once, and answers with its task.

202: a new task, durable. 200: the task of an earlier try, or nothing to do. 4xx: not taken, and no repeat will be. 429,
503: not taken now.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from math import ceil

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from omni_mcp.errors import OmniError
from omni_mcp.faces.pace import Pace
from omni_mcp.faces.status import LATER, status_of
from omni_mcp.servers_file.webhooks import SourceRow
from omni_mcp.service.service import Service
from omni_mcp.task import of_source
from omni_mcp.views.error import error_view
from omni_mcp.views.task import TaskView
from omni_mcp.webhooks.base import DeliveryRefused
from omni_mcp.webhooks.kinds import KINDS
from omni_mcp.webhooks.task import spec_of

logger = logging.getLogger(__name__)

PATH = "/hooks/{source}"
LARGEST = 1 << 20
"""Bytes of a body."""
HEARD_OUT = 4 * 1024 * 1024
"""Bytes of a body that are read and forgotten so that its sender hears why it is refused; then the line is cut."""
PATIENCE = 10.0
"""Seconds that a body may take to arrive."""
UNREAD = (408, 413)
"""After these the line is cut: what is left of the body is nobody's."""
AGAIN = 5
"""Seconds until what was not taken now may be tried again."""


class Door:
    """Where deliveries come in."""

    def __init__(self, service: Callable[[], Service]) -> None:
        self._service = service
        self._pace = Pace()

    async def take(self, request: Request) -> JSONResponse:
        """Answer one delivery."""
        source = request.path_params["source"]
        try:
            answer = await self._taken(source, request)
        except OmniError as error:
            logger.warning("webhook %s: %s", source[:64], error.message, extra={"action": "hook_refused"})
            return JSONResponse(error_view(error).shown(), _status(error), _again(error))
        except ClientDisconnect:
            return JSONResponse({}, 400)
        if isinstance(answer, str):
            return JSONResponse({"text": answer})
        logger.info("webhook %s: task %s", source, answer.task_id, extra={"action": "hook_taken"})
        return JSONResponse(answer.shown(), 200 if answer.deduplicated else 202)

    async def _taken(self, source: str, request: Request) -> TaskView | str:
        """Return the task of a delivery, or why there is none to make."""
        service = self._service()
        row = _row(service, source)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise DeliveryRefused(415, "the body is not said to be application/json")
        body = await _body(request)
        kind = KINDS[row.kind]
        kind.admit(row, request.headers, body)
        delivery = kind.read(request.headers, body)
        if not row.takes(delivery.event):
            return f"nothing to do: the row does not take {delivery.event[:100]!r}"
        if wait := self._pace.wait(source, per_second=row.per_minute / 60, burst=row.per_minute):
            raise DeliveryRefused(
                429, f"{source} has sent more than {row.per_minute} deliveries in a minute", retry_after=wait
            )
        return await replace(service, principal=of_source(source)).submit(spec_of(row, delivery))


def _row(service: Service, source: str) -> SourceRow:
    settings = service.settings()
    if settings.unreadable:
        raise DeliveryRefused(LATER, "servers.yaml cannot be read", next_step="omni-mcp mode says what is wrong")
    row = settings.servers.webhooks.get(source)
    if row is None:
        raise DeliveryRefused(
            404, f"no webhook is called {source[:64]!r}, or its row cannot be used", next_step="omni-mcp mode says why"
        )
    return row


async def _body(request: Request) -> bytes:
    """Return the body, no more of which is kept than may be. Raises DeliveryRefused."""
    body, size = bytearray(), 0
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:12]) > HEARD_OUT:
        raise DeliveryRefused(413, f"the body has more than {LARGEST} bytes")
    try:
        with anyio.fail_after(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                body += chunk if size <= LARGEST else b""
                if size > HEARD_OUT:
                    break
    except TimeoutError as error:
        raise DeliveryRefused(408, f"the body has not come within {PATIENCE:g} s") from error
    if size > LARGEST:
        raise DeliveryRefused(413, f"the body has more than {LARGEST} bytes")
    return bytes(body)


def _again(error: OmniError) -> dict[str, str] | None:
    """Return the header that says when it may be sent again, where that may help; or that the rest is not read."""
    if isinstance(error, DeliveryRefused) and error.status in UNREAD:
        return {"connection": "close"}
    after = AGAIN if error.retry_after is None and _status(error) == LATER else error.retry_after
    return None if after is None else {"retry-after": str(ceil(after))}


def _status(error: OmniError) -> int:
    return error.status if isinstance(error, DeliveryRefused) else status_of(error)
