"""Say who runs tasks, and who would get one."""

from collections.abc import Sequence

from omni_mcp.decide.routing import route
from omni_mcp.presets import ExecutorSpec, candidates, model_of, resolve
from omni_mcp.service.checks import check_executor
from omni_mcp.service.part import Part
from omni_mcp.task import SYSTEM_REPAIR, TaskSpec
from omni_mcp.views.executors import ExecutorView, RouteView


class ExecutorVerbs(Part):
    """The executors."""

    def executors(self) -> Sequence[ExecutorView]:
        """Return the executors as configured."""
        return [executor_view(spec) for spec in resolve(self.settings()).values()]

    async def executors_seen(self) -> Sequence[ExecutorView]:
        """Return the executors as configured and as last seen at work."""
        troubles = await self._troubles()
        return [
            view.model_copy(update={"usable": False, "detail": view.detail or troubles[view.name]})
            if view.name in troubles
            else view
            for view in self.executors()
        ]

    def types(self) -> Sequence[str]:
        """Return the types of tasks that somebody here handles, or a rule names."""
        settings = self.settings()
        handled = [name for spec in resolve(settings).values() for name in sorted(spec.handles)]
        ruled = [rule.type for rule in settings.servers.routing.rules if rule.type]
        return [name for name in dict.fromkeys([*handled, *ruled]) if name != SYSTEM_REPAIR]

    async def explain(self, spec: TaskSpec) -> RouteView:
        """Say where a task would go, and why, without submitting it."""
        settings = self.settings()
        check_executor(spec, settings)
        specs = resolve(settings)
        found = route(spec, settings.servers.routing, candidates(specs, await self._troubles(), spec.options))
        model = model_of(specs.get(found.executor or ""), settings, asked=spec.model, task_type=found.type)
        return RouteView(
            requested=found.requested,
            executor=found.executor,
            type=found.type,
            model=model,
            reason=found.reason,
            steps=list(found.steps),
        )


def executor_view(spec: ExecutorSpec) -> ExecutorView:
    """Show an executor as configured."""
    return ExecutorView(
        name=spec.name,
        usable=spec.unusable is None,
        handles=sorted(spec.handles),
        parallel=spec.parallel,
        recovery=spec.recovery,
        detail=spec.unusable,
    )
