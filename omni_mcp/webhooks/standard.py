"""Standard Webhooks: id, time and body are signed together, so a repeat has its id and an old one is known.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from omni_mcp.servers_file.webhooks import SourceRow
from omni_mcp.webhooks.base import Delivery, DeliveryRefused, field, parsed

ID = "webhook-id"
LONGEST = 200
"""Characters of an id."""


def admit(row: SourceRow, headers: Mapping[str, str], body: bytes) -> None:
    """Check the signature over the raw body, and that it was sent within five minutes. Raises DeliveryRefused."""
    secret = row.secret.get_secret_value() if row.secret is not None else ""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        why = str(error) if isinstance(error, WebhookVerificationError) else "a header cannot be read"
        raise DeliveryRefused(
            401,
            f"not signed by the secret of this source, or not within five minutes: {why}",
            next_step="compare the secret of the row with the sender's, and the clocks of both machines",
        ) from error
    if len(headers[ID]) > LONGEST:
        raise DeliveryRefused(422, f"its {ID} has more than {LONGEST} characters")


def read(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Return what happened: the `type` of the payload. Raises DeliveryRefused."""
    payload = parsed(body)
    event = field(payload, "type")
    return Delivery(key=headers[ID], event=event, values={"event": event, "id": headers[ID]}, payload=payload)
