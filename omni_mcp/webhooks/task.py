"""From a delivery to the task that its row makes of it. Pure, and bounded: what comes from outside may be endless."""

import re

from pydantic_core import to_json

from omni_mcp.decide.options import PERMISSIONS
from omni_mcp.pointer import NotThere, at
from omni_mcp.servers_file.webhooks import HookTask, SourceRow
from omni_mcp.task import TaskSpec
from omni_mcp.webhooks.base import Delivery, DeliveryRefused

LONGEST = {"summary": 20_000, "error": 2_000}
"""Characters of a value that are put in."""
OTHERS = 200
POINTED = 20_000
"""Characters of what a JSON pointer leads to."""
EMPTY = "(empty)"
PLACE = re.compile(r"\{(\w+|/[^{}]+)\}")
CUT = " […]"


def spec_of(row: SourceRow, delivery: Delivery) -> TaskSpec:
    """Return the task; a repeated delivery has the same key. Raises DeliveryRefused for a payload that does not fit."""
    task = row.task
    return TaskSpec(
        description=_description(task, delivery),
        type=task.type,
        executor=task.executor,
        model=task.model,
        cwd=None if task.cwd is None else str(task.cwd),
        priority=task.priority,
        budget_usd=task.budget_usd,
        idempotency_key=delivery.key,
        options={PERMISSIONS: task.permissions},
    )


def _description(task: HookTask, delivery: Delivery) -> str:
    """Put the values in; what was put in is not looked at again. Raises DeliveryRefused for a payload without them."""
    return PLACE.sub(lambda found: _value(found[1], delivery) or found[0], task.description)


def _value(name: str, delivery: Delivery) -> str | None:
    """Return what stands for a name; None for one that means nothing here, which stays as it is written."""
    if not name.startswith("/"):
        value = delivery.values.get(name)
        return None if value is None else _cut(value, LONGEST.get(name, OTHERS)) or EMPTY
    try:
        found = at(name, delivery.payload)
    except NotThere as error:
        raise DeliveryRefused(
            422,
            f"the payload has no {name[:200]!r}, which the task of this source names",
            next_step="name in `events` only those whose payload has it, or change the description of the row",
        ) from error
    text = "" if found is None else found if isinstance(found, str) else to_json(found).decode()
    return _cut(text, POINTED) or EMPTY


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + CUT
