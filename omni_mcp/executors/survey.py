"""Look at every executor once: open a session, ask its health, list its tools."""

from collections.abc import Sequence
from functools import partial

import anyio

from omni_mcp.errors import ExecutorError
from omni_mcp.executors.pool import Pool, swept
from omni_mcp.presets import ExecutorSpec
from omni_mcp.service.executors import executor_view
from omni_mcp.settings import Settings
from omni_mcp.task import new_id
from omni_mcp.views.executors import ExecutorView

LIMIT = 20.0
"""Seconds for one executor to answer."""


async def survey(settings: Settings) -> Sequence[ExecutorView]:
    """Return how each executor is; one that does not answer holds up nobody but itself."""
    found: dict[str, ExecutorView] = {}
    owner = new_id()
    async with swept(owner), Pool(settings, owner=owner) as pool, anyio.create_task_group() as tasks:
        for spec in pool.specs.values():
            tasks.start_soon(partial(_look, pool, spec, found))
    return [found[name] for name in pool.specs]


async def _look(pool: Pool, spec: ExecutorSpec, found: dict[str, ExecutorView]) -> None:
    view = executor_view(spec)
    found[spec.name] = view.model_copy(update={"usable": False, "detail": f"did not answer in {LIMIT:.0f} s"})
    if spec.unusable is not None:
        found[spec.name] = view
        return
    with anyio.move_on_after(LIMIT):
        found[spec.name] = await _asked(pool, spec, view)


async def _asked(pool: Pool, spec: ExecutorSpec, view: ExecutorView) -> ExecutorView:
    executor = pool.get(spec.name)
    try:
        health = await executor.health()
        tools = [tool.name for tool in await executor.tools()]
    except ExecutorError as error:
        detail = f"{error.message}. {error.next_step}" if error.next_step else error.message
        return view.model_copy(update={"usable": False, "detail": detail})
    said = [part for part in (health.version, health.detail, health.fix) if part]
    return view.model_copy(update={"usable": health.ok, "detail": ". ".join(said) or None, "tools": tools})
