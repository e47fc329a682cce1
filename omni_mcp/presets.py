"""From a row of servers.yaml to what the engine needs to know of an executor, or why it cannot be used.

Pure, but for looking which programs are installed. Faces use it too, so it opens nothing and imports no client.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.decide.mode_state import Setup
from omni_mcp.decide.repair import RepairPlan
from omni_mcp.decide.routing import Candidate
from omni_mcp.home import Home
from omni_mcp.servers_file import ExecutorRow, Repair
from omni_mcp.settings import GITHUB_KEY, Settings
from omni_mcp.task import SYSTEM_REPAIR, Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSpec:
    """An executor as the engine and routing see it."""

    name: str
    row: ExecutorRow
    handles: frozenset[str]
    parallel: int
    recovery: Recovery
    adapter: bool
    """True: it speaks the adapter contract; False: one foreign tool with an argument template."""
    relayed: bool
    """True: its model calls go through the engine's relay."""
    command: tuple[str, ...] = ()
    """argv for stdio; empty for HTTP."""
    unusable: str | None = None
    """Why it cannot be used, with the fix; None: as far as the settings tell, it can."""


INSTALL = {
    "claude": "npm install -g @anthropic-ai/claude-code",
    "docker": "https://docs.docker.com/get-docker/",
    "node": "Node.js from https://nodejs.org/",
    "npm": "Node.js from https://nodejs.org/",
    "npx": "Node.js from https://nodejs.org/",
    "uv": "pip install uv",
    "uvx": "pip install uv",
}
"""How to get the programs that MCP servers are usually started with."""

_NO_ROW = ExecutorRow.model_construct()
"""Stands in for a row that could not be read."""

_MODELS = re.compile(r", model(s|_list)\b")
"""Where models stand: in our own words, and at the top of LiteLLM's file."""

COMMANDS_LINE = 'fault_handler: {repair: {commands: ["docker compose restart litellm"], cwd: ~/litellm}}'
EXECUTOR_LINE = "executors: {claude_code: {preset: claude-code, handles: [coding, system_repair]}}"
"""What turns repairs on."""

NO_MODELS = "no model is configured. Add `models: {gateway: ...}` or `models: {model_list: [...]}` to servers.yaml"


def resolve(settings: Settings) -> Mapping[str, ExecutorSpec]:
    """Return every executor that the settings name, those with a problem included (`unusable` says why)."""
    return {name: _resolved(name, settings) for name in settings.names}


def candidates(specs: Mapping[str, ExecutorSpec], troubles: Mapping[str, str]) -> Mapping[str, Candidate]:
    """Return the executors as routing sees them; `troubles` is what went wrong with them lately, by name."""
    return {
        name: Candidate(name=name, handles=spec.handles, trouble=spec.unusable or troubles.get(name))
        for name, spec in specs.items()
    }


def mode_setup(settings: Settings) -> Setup:
    """Return what the settings say as far as modes go; without LiteLLM nobody would call the providers."""
    models = settings.servers.models
    return Setup(
        numbers=settings.servers.fault_handler,
        litellm=models.configured,
        probed=models.gateway is not None,
        providers=tuple(n for n in settings.backup_keys if settings.servers.direct[n].models)
        if models.configured
        else (),
    )


def repair_plan(settings: Settings) -> RepairPlan:
    """Return what may be done when LiteLLM is broken, or why nothing is."""
    gateway, row = settings.servers.models.gateway, settings.servers.fault_handler.repair
    door = "" if gateway is None else f"{gateway.base_url}/health/liveliness"
    return RepairPlan(off=_no_proxy(settings) or _no_means(row) or _no_repairer(settings), row=row, door=door)


def _no_proxy(settings: Settings) -> str | None:
    if settings.servers.models.gateway is not None:
        return None
    return "LiteLLM is no proxy here, so there is nothing to restart; models.gateway in servers.yaml names one"


def _no_means(row: Repair | None) -> str | None:
    if row is None:
        return f"no commands. An example for servers.yaml: {COMMANDS_LINE}"
    if row.cwd is not None and not os.path.isdir(row.cwd):  # noqa: PTH112 - Path.is_dir raises where one may not enter
        return f"fault_handler.repair.cwd: {row.cwd} is no folder"
    return None


def _no_repairer(settings: Settings) -> str | None:
    """Say why no executor could: none handles it, none that does can be used, or none has a model without LiteLLM."""
    able = [spec for spec in resolve(settings).values() if SYSTEM_REPAIR in spec.handles]
    if not able:
        return f"no executor handles system_repair. An example for servers.yaml: {EXECUTOR_LINE}"
    usable = [spec for spec in able if spec.unusable is None]
    if not usable:
        return f"{able[0].name} cannot be used: {able[0].unusable}"
    if all(spec.relayed for spec in usable) and not mode_setup(settings).providers:
        return f"no backup key: the agent needs a model without LiteLLM. Set {GITHUB_KEY} in .env of the home"
    return None


def _resolved(name: str, settings: Settings) -> ExecutorSpec:
    row = settings.servers.executors.get(name, _NO_ROW)
    if (problem := settings.problem_of(name)) is not None:
        return _spec(name, row, unusable=str(problem))
    match row.preset:
        case "assistant":
            return _assistant(name, row, settings)
        case "claude-code":
            return _claude_code(name, row, settings)
        case None:
            return _foreign(name, row, settings)
        case _:
            return _spec(name, row, unusable=f"the preset {row.preset!r} comes in a later version")


def _spec(
    name: str,
    row: ExecutorRow,
    *,
    handles: Sequence[str] = (),
    parallel: int = 1,
    recovery: Recovery = Recovery.ASK,
    relayed: bool = False,
    command: tuple[str, ...] = (),
    unusable: str | None = None,
) -> ExecutorSpec:
    """Return the spec of a row: what the row says, else the defaults given here."""
    return ExecutorSpec(
        name=name,
        row=row,
        handles=frozenset(row.handles or handles),
        parallel=row.parallel or parallel,
        recovery=row.recovery or recovery,
        adapter=row.preset is not None or row.tool is None,
        relayed=relayed,
        command=command,
        unusable=unusable,
    )


def _assistant(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    return _spec(
        name,
        row,
        handles=["general"],
        parallel=4,
        recovery=Recovery.RETRY,
        relayed=True,
        command=(sys.executable, "-P", "-m", "omni_mcp.adapters.assistant"),
        unusable=None if _has_models(settings) else _no_models(settings),
    )


def _claude_code(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    binary = find(row.command or "claude", row, settings.home)
    relayed = row.login == "relay" or (row.login is None and _has_models(settings))
    unusable = None if binary else _missing(row.command or "claude")
    if row.login == "relay" and not _has_models(settings):
        unusable = _no_models(settings)
    roots = [part for root in row.roots for part in ("--root", str(root))]
    asks = ["--ask"] if row.approvals != "none" else []
    profile = ["--permissions", row.permissions, *asks, "--binary", binary or "claude"]
    return _spec(
        name,
        row,
        handles=["coding", SYSTEM_REPAIR],
        parallel=2,
        recovery=Recovery.RESUME,
        relayed=relayed,
        command=(sys.executable, "-P", "-m", "omni_mcp.adapters.claude_code", *profile, *roots),
        unusable=unusable,
    )


def _foreign(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    """Return any MCP server; one without `tool` has to speak the adapter contract."""
    binary = find(row.command, row, settings.home) if row.command else None
    relayed = row.tool is None and row.login == "relay"
    command = (binary, *row.args) if binary else ()
    unusable = _flaw(row) or (_missing(row.command) if row.command and not binary else None)
    if relayed and not _has_models(settings):
        unusable = _no_models(settings)
    return _spec(name, row, relayed=relayed, command=command, unusable=unusable)


def _flaw(row: ExecutorRow) -> str | None:
    """Return what a row asks for that cannot be."""
    if row.result not in ("text", "structured") and not row.result.startswith("/"):
        return f"result {row.result!r} is not text, structured or a JSON pointer such as /answer/0"
    return None


def _no_models(settings: Settings) -> str:
    """Say why there is no model: a row that cannot be used, also of a translated file, or none at all."""
    first = next((problem for problem in settings.problems if _MODELS.search(problem.where)), None)
    return f"no row of the models can be used. {first}" if first else NO_MODELS


def _has_models(settings: Settings) -> bool:
    return settings.servers.models.configured


def find(command: str, row: ExecutorRow, home: Home) -> str | None:
    """Return the path of a program as the child would find it: a relative one is relative to its working folder."""
    path = Path(command).expanduser()
    if path.name != command:
        path = (row.cwd or home.root) / path
    return shutil.which(str(path), path=row.env.get("PATH"))


def _missing(command: str) -> str:
    how = INSTALL.get(Path(command).name)
    return f"the program {command!r} is not installed" + (f". Install it: {how}" if how else "")
