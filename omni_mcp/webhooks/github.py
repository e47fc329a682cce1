"""GitHub's webhooks: the raw body is signed, and `X-GitHub-Delivery` is the same whenever an event is delivered again.

GitHub signs neither that id nor a time: who has a delivery whole could send it under another id. TLS keeps it.
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

from omni_mcp.servers_file.webhooks import SourceRow
from omni_mcp.webhooks.base import Delivery, DeliveryRefused, field, parsed

SIGNATURE, ID, EVENT = "x-hub-signature-256", "x-github-delivery", "x-github-event"
_ID = re.compile(r"[\w-]{1,100}", re.ASCII)


def admit(row: SourceRow, headers: Mapping[str, str], body: bytes) -> None:
    """Check the signature over the raw body. Raises DeliveryRefused."""
    secret = row.secret.get_secret_value() if row.secret is not None else ""
    wanted = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    if not secret or not hmac.compare_digest(wanted.encode(), headers.get(SIGNATURE, "").encode()):
        raise DeliveryRefused(
            401,
            "X-Hub-Signature-256 is not that of the secret of this source",
            next_step="set the same secret in the row and in GitHub's settings of the webhook",
        )


def read(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Return what happened: `push`, `issues.opened`, … Raises DeliveryRefused."""
    delivery, name = headers.get(ID, ""), headers.get(EVENT, "")
    if not (_ID.fullmatch(delivery) and _ID.fullmatch(name)):
        raise DeliveryRefused(422, "X-GitHub-Delivery or X-GitHub-Event is missing, or is none of GitHub's")
    payload = parsed(body)
    event = ".".join(filter(None, (name, field(payload, "action"))))
    return Delivery(key=delivery, event=event, values={"event": event, "id": delivery}, payload=payload)
