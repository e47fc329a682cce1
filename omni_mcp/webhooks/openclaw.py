"""OpenClaw's cron webhook: what a scheduled job found is posted when it has ended (`delivery.mode: webhook`).

It carries a bearer token (`cron.webhookToken`), but neither signature nor id: a run is known by its job
and its start. Its shape is that of 2026.9.6; a later one may say more.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omni_mcp.servers_file.webhooks import SourceRow
from omni_mcp.webhooks.base import Delivery, DeliveryRefused, parsed

Word = Annotated[str, Field(min_length=1, max_length=200)]


class _Heard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Job(_Heard):
    name: str = ""


class _Finished(_Heard):
    """The end of one run of a job."""

    action: Literal["finished"]
    job_id: Word = Field(alias="jobId")
    run_at: Annotated[int, Field(alias="runAtMs", ge=0)]
    """Milliseconds since 1970."""
    status: Word
    """`ok`, `error` or `skipped`."""
    summary: str = ""
    error: str = ""
    session_key: str = Field(default="", alias="sessionKey")
    job: _Job = _Job()


def admit(row: SourceRow, headers: Mapping[str, str], body: bytes) -> None:
    """Compare the bearer token, in a time that says nothing of it. Raises DeliveryRefused."""
    del body
    scheme, _, given = headers.get("authorization", "").partition(" ")
    token = row.token.get_secret_value() if row.token is not None else ""
    same = bool(token) and hmac.compare_digest(_digest(given.strip()), _digest(token))
    if scheme.lower() != "bearer" or not same:
        raise DeliveryRefused(
            401,
            "the bearer token is not that of this source",
            next_step="openclaw config set cron.webhookToken with the token of the row",
        )


def read(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Return the end of a run. Raises DeliveryRefused for what is none."""
    del headers
    try:
        end = _Finished.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise DeliveryRefused(422, f"this is no end of an OpenClaw cron job: {where}: {first['msg']}") from error
    return Delivery(
        key=f"{end.job_id}:{end.run_at}",
        event=end.status,
        payload=parsed(body),
        values={
            "summary": end.summary,
            "error": end.error,
            "status": end.status,
            "job": end.job.name or end.job_id,
            "job_id": end.job_id,
            "session": end.session_key,
        },
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
