"""`webhooks`: senders whose deliveries become tasks."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from omni_mcp.servers_file.executors import Permissions
from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.task import TaskRow
from omni_mcp.servers_file.values import HardToken, signing

HOOK_VALUES = {
    "openclaw": ("summary", "error", "status", "job", "job_id", "session"),
    "standard": ("event", "id"),
    "github": ("event", "id"),
}
"""What the description of a task may name, by the kind of its source."""


class HookTask(TaskRow):
    """The task that a delivery becomes."""

    description: Annotated[str, Field(min_length=1, max_length=20_000)]
    """What is to be done. Put in, each cut to a limit: {/json/pointer} of the payload, {event} and {id}; of OpenClaw
    {summary} {error} {status} {job} {job_id} {session}."""
    permissions: Permissions = "read-only"
    """The most that the run may do; who cannot keep to it (a foreign tool, OpenClaw) takes it only with `full`."""


class SourceRow(Row):
    """A sender whose deliveries become tasks: `POST /hooks/NAME` of `omni-mcp serve`."""

    kind: Literal["openclaw", "standard", "github"]
    """What it speaks: the webhook of an OpenClaw cron job, Standard Webhooks, or GitHub's webhooks."""
    token: HardToken | None = None
    """Of `openclaw`: the bearer token that it sends, of at least 16 characters."""
    secret: HardToken | None = None
    """Of the others: what it signs with; of `standard` `whsec_` and 24 to 64 bytes in base64."""
    statuses: Annotated[tuple[Literal["ok", "error", "skipped"], ...], Field(min_length=1)] = ("ok",)
    """Of `openclaw`: runs that become tasks, by how they ended."""
    events: tuple[str, ...] = ()
    """Of the others: events that become tasks, such as `push`, `issues.opened` (GitHub) or the `type` of a payload;
    without any all."""
    per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    """Deliveries that are taken in a minute; what is more is told to come again."""
    task: HookTask
    """The task that a delivery becomes."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed, other = ("token", "secret") if self.kind == "openclaw" else ("secret", "token")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"of kind {self.kind} needs {needed}, and has no {other}")
        if self.kind == "openclaw" and self.events:
            raise ValueError("of kind openclaw has events: it tells of one only, and statuses says which")
        if self.kind != "openclaw" and "statuses" in self.model_fields_set:
            raise ValueError(f"of kind {self.kind} has statuses: events says which become tasks")
        if self.kind == "standard" and self.secret is not None:
            signing(self.secret)
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        known = HOOK_VALUES[self.kind]
        if unknown := [name for name in re.findall(r"\{(\w+)\}", self.task.description) if name not in known]:
            raise ValueError(
                f"has a description that names {unknown[0][:40]!r}; there are: {', '.join(known)}, and /json/pointers"
            )
        return self

    def takes(self, event: str) -> bool:
        """Whether such an event becomes a task; `issues` takes each `issues.…`. GitHub's ping is only a greeting."""
        if self.kind == "openclaw":
            return event in self.statuses
        if not self.events:
            return (self.kind, event) != ("github", "ping")
        return event in self.events or event.partition(".")[0] in self.events
