"""What is answered over HTTP while more is asked at once than there is room for: come again, and nothing was done."""

import logging
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from omni_mcp.errors import Overloaded
from omni_mcp.views.error import error_view

logger = logging.getLogger(__name__)

RETRY_AFTER = 1
"""Seconds after which a refused request may come again."""
ALWAYS = "/healthz"
"""Answered even then: a server that has much to do is not one to be restarted."""


class Crowd:
    """Lets so many requests be under way at a time, streams among them; those above get 503 (RFC 9110, 15.6.4).

    uvicorn's own limit counts connections as well: of many that come at once it would refuse all, and it names no time.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = 0
        self._refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say when it may come again."""
        if scope["type"] != "http" or scope["path"] == ALWAYS:
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            self._refused += 1
            await _refusal(self._most)(scope, receive, send)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1
                self._tell()

    def _tell(self) -> None:
        """Say once how many were refused, when there is room again: a line for each would be the next burden."""
        if self._refused:
            logger.warning("%d requests were told to come again", self._refused, extra={"action": "overloaded"})
            self._refused = 0


def _refusal(most: int) -> JSONResponse:
    error = Overloaded(most, RETRY_AFTER)
    headers = {"retry-after": str(RETRY_AFTER), "connection": "close"}
    return JSONResponse(error_view(error).shown(), HTTPStatus.SERVICE_UNAVAILABLE, headers)
