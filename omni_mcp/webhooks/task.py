"""From a delivery to the task that its row makes of it. Pure, and bounded: what comes from outside may be endless."""

import re

from omni_mcp.decide.options import PERMISSIONS
from omni_mcp.servers_file import HookTask, SourceRow
from omni_mcp.task import TaskSpec
from omni_mcp.webhooks.base import Delivery

LONGEST = {"summary": 20_000, "error": 2_000}
"""Characters of a value that are put in."""
OTHERS = 200
CUT = " […]"


def spec_of(row: SourceRow, delivery: Delivery) -> TaskSpec:
    """Return the task; a repeated delivery has the same key."""
    task = row.task
    return TaskSpec(
        description=_description(task, delivery),
        type=task.type,
        executor=task.executor,
        model=task.model,
        cwd=None if task.cwd is None else str(task.cwd),
        priority=task.priority,
        idempotency_key=delivery.key,
        options={PERMISSIONS: task.permissions},
    )


def _description(task: HookTask, delivery: Delivery) -> str:
    """Put the values in; what was put in is not looked at again."""
    values = {name: _cut(value, LONGEST.get(name, OTHERS)) for name, value in delivery.values.items()}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), task.description)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + CUT
