"""`notify`: who is told of changes of mode and of questions."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import SigningSecret, http_url, reachable


def _hook(url: SecretStr) -> SecretStr:
    """Return a URL as it is written: what stands behind its host may be a secret."""
    http_url(url.get_secret_value())
    return url


def _gateway(url: str) -> str:
    if not url.startswith(("ws://", "wss://")):
        raise ValueError("begins with neither ws:// nor wss://: it is the WebSocket of an OpenClaw gateway")
    return reachable(url)


def _schema(url: SecretStr) -> SecretStr:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url.get_secret_value()):
        raise ValueError("is no URL of apprise, such as ntfy://topic or mailto://user:password@host")
    try:
        urlsplit(url.get_secret_value())
    except ValueError:
        raise ValueError("cannot be read as a URL: write what is special in it as %XX") from None
    return url


HookUrl = Annotated[SecretStr, AfterValidator(_hook)]
GatewayUrl = Annotated[str, AfterValidator(_gateway)]
AppriseUrl = Annotated[SecretStr, AfterValidator(_schema)]


class WebhookRow(Row):
    """A receiver of signed POSTs, as the Standard Webhooks specification has them."""

    url: HookUrl
    """Where it listens; redirects are not followed."""
    secret: SigningSecret
    """What it checks the signature with: `whsec_` and 24 to 64 bytes in base64."""


class OpenClawRow(Row):
    """A person whom an OpenClaw gateway reaches by one of its channels."""

    url: GatewayUrl = "ws://127.0.0.1:18789"
    """The gateway's WebSocket."""
    token: SecretStr
    """The gateway's token."""
    channel: Annotated[str, Field(min_length=1, max_length=100)]
    """A channel that the gateway has: `telegram`, `slack`, …"""
    to: Annotated[str, Field(min_length=1, max_length=500)]
    """Whom it tells there, as `openclaw message send --target` takes it."""


class Notify(Row):
    """Who is told of changes of mode and of questions, besides the log and every answer of a tool."""

    desktop: bool = True
    """Notices on the desktop of this machine, where it has one (docs/faults.md)."""
    webhooks: tuple[WebhookRow, ...] = ()
    """Receivers of signed POSTs."""
    apprise: tuple[AppriseUrl, ...] = ()
    """URLs of apprise (`ntfy://topic`, `mailto://…`); needs `pip install "omni-mcp[apprise]"`."""
    openclaw: tuple[OpenClawRow, ...] = ()
    """People whom an OpenClaw gateway reaches, without a model call."""
