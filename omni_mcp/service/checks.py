"""Refuse what cannot be a task, and preview who would take it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from omni_mcp.decide.budgets import check_amount
from omni_mcp.decide.options import check_options, refusal
from omni_mcp.decide.routing import Route, route
from omni_mcp.errors import BadRequest, UnknownExecutor
from omni_mcp.presets import ExecutorSpec, candidates, model_of
from omni_mcp.settings import Settings
from omni_mcp.task import SYSTEM_REPAIR, Choice, TaskSpec

PRIORITIES = range(-100, 101)


def checked(spec: TaskSpec, settings: Settings) -> TaskSpec:
    """Refuse what cannot be a task, in words that name the next call; what says nothing is as good as left away."""
    spec = _without_blanks(spec)
    limit = settings.servers.limits.description_bytes
    size = len(spec.description.encode(errors="surrogatepass"))
    if not spec.description.strip():
        raise BadRequest("description is empty", next_step="call submit_task with what is to be done")
    if size > limit:
        raise BadRequest(
            f"description has {size} bytes, the limit is {limit}",
            next_step="call submit_task with the material in a file below cwd, which the description names",
        )
    if spec.priority not in PRIORITIES:
        raise BadRequest(f"priority {spec.priority} is not in -100..100", next_step="call submit_task with one that is")
    if spec.type == SYSTEM_REPAIR:
        raise BadRequest("system_repair is the engine's own", next_step="submit_task without a type, or with another")
    check_executor(spec, settings)
    check_amount("budget_usd", spec.budget_usd)
    check_options(spec.options, max_attempts=settings.servers.limits.max_attempts)
    return replace(spec, cwd=_checked_cwd(spec.cwd))


def preview(spec: TaskSpec, settings: Settings, specs: Mapping[str, ExecutorSpec]) -> Route:
    """Preview the choice from the settings alone; the binding one is made when the task begins."""
    return route(spec, settings.servers.routing, candidates(specs, {}, spec.options))


def choice_of(spec: TaskSpec, settings: Settings, found: Route, specs: Mapping[str, ExecutorSpec]) -> Choice | None:
    """Return a previewed route as the choice that is written with the task; None: nobody can take it."""
    if found.executor is None:
        return None
    model = model_of(specs[found.executor], settings, asked=spec.model, task_type=found.type)
    return Choice(executor=found.executor, requested=found.requested, model=model, reason=found.reason)


def check_kept(spec: TaskSpec, found: Route, specs: Mapping[str, ExecutorSpec]) -> None:
    """Refuse a budget that nobody could keep: a limit that is not kept must not be accepted."""
    if spec.budget_usd is None or found.executor is None or specs[found.executor].spends:
        return
    raise BadRequest(
        f"what {found.executor} costs is not known here, so budget_usd cannot be kept",
        next_step="call submit_task without budget_usd, or with an executor that runs on models",
    )


def _without_blanks(spec: TaskSpec) -> TaskSpec:
    """Models fill optional arguments with "" and null: neither names a key, an executor, a folder or a limit."""
    names = ("type", "executor", "model", "cwd", "idempotency_key", "deadline_said")
    blank = {name: None for name in names if not (getattr(spec, name) or "").strip()}
    options = {name: value for name, value in spec.options.items() if value is not None}
    return replace(spec, **blank, options=options)


def check_executor(spec: TaskSpec, settings: Settings) -> None:
    """Refuse a pinned executor that the settings do not have."""
    names = settings.names
    if spec.executor is not None and spec.executor not in names:
        raise UnknownExecutor(spec.executor, list(names))


def check_allowed(spec: TaskSpec, found: Route, settings: Settings) -> None:
    """Refuse options that the executor which is wanted first would not keep."""
    row = settings.servers.executors.get(found.requested)
    if row is not None and (said := refusal(spec.options, row)) is not None:
        raise BadRequest(
            f"{found.requested} {said}",
            next_step="call submit_task with options that only lower what its row in servers.yaml allows, or without",
        )


def _checked_cwd(cwd: str | None) -> str | None:
    if cwd is None:
        return None
    try:
        folder = Path(cwd).expanduser()
        there = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadRequest(
            f"cwd {cwd[:200]!r} cannot be a folder: {error!s:.200}", next_step="call submit_task with an existing one"
        ) from error
    if not folder.is_absolute():
        raise BadRequest(f"cwd {cwd[:200]!r} is not absolute", next_step="call submit_task with the whole path")
    if not there:
        raise BadRequest(f"cwd {cwd[:200]!r} is not a folder here", next_step="call submit_task with an existing one")
    return str(folder.resolve())
