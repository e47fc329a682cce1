"""From a row of servers.yaml to what the engine needs to know of an executor, or why it cannot be used.

Pure, but for looking which programs are installed. Faces use it too, so it opens nothing and imports no client.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from omni_mcp.contract import GATEWAY_HEADERS, GATEWAY_TOKEN, GATEWAY_URL
from omni_mcp.decide.handing_on import handed_on_by
from omni_mcp.decide.modes.state import Setup
from omni_mcp.decide.options import refusal
from omni_mcp.decide.recovery import bound_to
from omni_mcp.decide.repair import RepairPlan
from omni_mcp.decide.routing import Candidate, Route, route
from omni_mcp.home import Home
from omni_mcp.repair_setup import VARIABLE, LadderSetup
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.fault_handler import Repair
from omni_mcp.servers_file.routing import Routing
from omni_mcp.settings import GITHUB_KEY, Settings
from omni_mcp.task import LADDER, SYSTEM_REPAIR, Recovery, Task
from omni_mcp.this_machine import leads_here


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
    env: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    """Variables of its process besides those of the row: what its command line may not show."""
    own_models: bool = False
    """True: it has models of its own, so that the names under `models` mean nothing to it."""
    unusable: str | None = None
    """Why it cannot be used, with the fix; None: as far as the settings tell, it can."""

    @property
    def spends(self) -> bool:
        """Whether its runs are on the books: what a tool of a foreign server costs nobody here can say."""
        return self.relayed or (self.adapter and self.row.needs_cloud)


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

COLD_START = 200.0
"""Seconds until a Moltworker is reached: it starts its gateway in one or two minutes, and holds the call meanwhile."""

_NO_ROW = ExecutorRow.model_construct()
"""Stands in for a row that could not be read."""

_MODELS = re.compile(r", model(s|_list)\b")
"""Where models stand: in our own words, and at the top of LiteLLM's file."""

REPAIR_LINE = 'fault_handler: {repair: {restart: "docker compose restart litellm", cwd: ~/litellm}}'
COMMANDS_LINE = 'fault_handler: {repair: {commands: ["docker compose logs --tail 200 litellm"]}}'
EXECUTOR_LINE = "executors: {claude_code: {preset: claude-code, handles: [coding, system_repair]}}"
"""What turns repairs on."""

NO_CODEX = (
    "there is no preset for Codex: `codex mcp-server` was removed in Codex 0.154.0. An adapter of your own can run"
    " `codex exec`, such as the first example of docs/executors.md"
)
LADDER_STARTS, LADDER_LOOKS = 4, 120.0
"""What the time of a scripted repair is made of: so many times `grace`, and seconds for all its looks."""

NO_MODELS = "no model is configured. Add `models: {gateway: ...}` or `models: {model_list: [...]}` to servers.yaml"


def resolve(settings: Settings) -> Mapping[str, ExecutorSpec]:
    """Return every executor that the settings name, those with a problem included (`unusable` says why); and ours."""
    named = {name: _resolved(name, settings) for name in settings.names}
    setup = ladder_setup(settings)
    return named if setup is None else {**named, LADDER: _ladder(setup)}


def model_of(spec: ExecutorSpec | None, settings: Settings, *, asked: str | None, task_type: str | None) -> str | None:
    """Return the model of a task: the one asked for, that of the executor's row, else that of `models`.

    None: the executor's own choice.
    """
    if spec is None:
        return asked or settings.servers.models.model_for(task_type)
    named = asked or spec.row.model
    return named if spec.own_models else named or settings.servers.models.model_for(task_type)


def candidates(
    specs: Mapping[str, ExecutorSpec],
    troubles: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    *,
    budget: bool = False,
) -> Mapping[str, Candidate]:
    """Return the executors as routing sees them; `troubles` is what went wrong with them lately, by name.

    `options` are those of the task: who would not keep them cannot take it; nor who could not keep its `budget`.
    """

    def trouble(name: str, spec: ExecutorSpec) -> str | None:
        unkept = "cannot keep budget_usd" if budget and not spec.spends else None
        return spec.unusable or troubles.get(name) or refusal(options or {}, spec.row) or unkept

    return {
        name: Candidate(name=name, handles=spec.handles, trouble=trouble(name, spec)) for name, spec in specs.items()
    }


def routed(task: Task, specs: Mapping[str, ExecutorSpec], routing: Routing, troubles: Mapping[str, str]) -> Route:
    """Route a task that may have run: past whoever has handed it on, and bound to where an earlier run may live."""
    passed = dict.fromkeys(handed_on_by(task), "has handed it on")
    able = candidates(specs, {**troubles, **passed}, task.spec.options, budget=task.spec.budget_usd is not None)
    bound = bound_to(task, {name: spec.recovery for name, spec in specs.items()})
    return route(task.spec, routing, able, bound=bound)


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
    no_agent = _no_repairer(settings)
    off = _no_proxy(settings) or _no_means(row) or (None if row is not None and row.scripted else no_agent)
    return RepairPlan(off=off, no_agent=no_agent, row=row, door=door)


def ladder_setup(settings: Settings) -> LadderSetup | None:
    """Return what the scripted ladder works with, where LiteLLM is a proxy and its repair is configured."""
    gateway, row = settings.servers.models.gateway, settings.servers.fault_handler.repair
    if gateway is None or row is None or _no_means(row) is not None:
        return None
    return LadderSetup(
        base_url=gateway.base_url,
        key=None if gateway.api_key is None else gateway.api_key.get_secret_value(),
        **row.model_dump(include={"start", "restart", "config", "cwd", "env", "grace"}),
        folder=settings.home.repair,
    )


def _ladder(setup: LadderSetup) -> ExecutorSpec:
    """Return the executor of ours that repairs LiteLLM by a script: it needs no model, and may always begin anew."""
    row = ExecutorRow.model_construct(
        env={VARIABLE: setup.model_dump_json()}, needs_cloud=False, timeout=LADDER_STARTS * setup.grace + LADDER_LOOKS
    )
    command = (sys.executable, "-P", "-m", "omni_mcp.adapters.repair_ladder")
    return _spec(LADDER, row, handles=[SYSTEM_REPAIR], recovery=Recovery.RETRY, command=command)


def _no_proxy(settings: Settings) -> str | None:
    if settings.servers.models.gateway is not None:
        return None
    return "LiteLLM is no proxy here, so there is nothing to restart; models.gateway in servers.yaml names one"


def _no_means(row: Repair | None) -> str | None:
    if row is None:
        return f"no way to start it is named. An example for servers.yaml: {REPAIR_LINE}"
    if row.cwd is not None and not os.path.isdir(row.cwd):  # noqa: PTH112 - Path.is_dir raises where one may not enter
        return f"fault_handler.repair.cwd: {row.cwd} is no folder"
    return None


def _no_repairer(settings: Settings) -> str | None:
    """Say why no executor could: none handles it, none that does can be used, or none has a model without LiteLLM."""
    row = settings.servers.fault_handler.repair
    if row is not None and not row.commands:
        return f"no commands. An example for servers.yaml: {COMMANDS_LINE}"
    able = [spec for name in settings.names if SYSTEM_REPAIR in (spec := _resolved(name, settings)).handles]
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
        case "codex":
            return _spec(name, row, unusable=NO_CODEX)
        case "openclaw" | "moltworker":
            return _gateway(name, row, settings)
        case None:
            return _foreign(name, row, settings)


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
    profile += ["--worktrees", str(settings.home.worktrees), *(["--in-worktree"] if row.worktree else [])]
    profile += ["--max-turns", str(row.max_turns)] if row.max_turns is not None else []
    profile += ["--silent", f"{settings.servers.limits.silent_seconds:g}"]
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


def _gateway(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    """Return an OpenClaw gateway: here, elsewhere, or (moltworker) one that Cloudflare starts when it is called."""
    edge = row.preset == "moltworker"
    limit = row.connect_timeout if "connect_timeout" in row.model_fields_set or not edge else COLD_START
    known = edge or not leads_here(row.url or "")
    options = ["--agent", row.agent, "--connect-timeout", f"{limit:g}"]
    options += ["--device", str(settings.home.device_key)] if known else []
    options += ["--at-least-once"] if edge else []
    spec = _spec(
        name,
        row,
        handles=["always_on"] if edge else ["general"],
        parallel=2 if edge else 8,
        recovery=Recovery.ATTACH,
        command=(sys.executable, "-P", "-m", "omni_mcp.adapters.openclaw", *options),
    )
    return replace(spec, env=_gateway_env(row), own_models=True)


def _gateway_env(row: ExecutorRow) -> Mapping[str, SecretStr]:
    """Return what an adapter needs to know of a gateway, and nobody else."""
    headers = {name: value.get_secret_value() for name, value in row.headers.items()}
    token = {GATEWAY_TOKEN: row.token} if row.token else {}
    return {GATEWAY_URL: SecretStr(row.url or ""), GATEWAY_HEADERS: SecretStr(json.dumps(headers)), **token}


def _foreign(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    """Return any MCP server; one without `tool` has to speak the adapter contract."""
    binary = find(row.command, row, settings.home) if row.command else None
    relayed = row.tool is None and row.login == "relay"
    command = (binary, *row.args) if binary else ()
    unusable = _flaw(row) or (_missing(row.command) if row.command and not binary else None)
    if relayed and not _has_models(settings):
        unusable = _no_models(settings)
    return _spec(name, row, relayed=relayed, command=command, unusable=unusable)


def server_spec(name: str, row: ExecutorRow, settings: Settings) -> ExecutorSpec:
    """Return how an MCP server is reached that is no executor: its row has no more than a way to it."""
    binary = find(row.command, row, settings.home) if row.command else None
    unusable = _missing(row.command) if row.command and not binary else None
    return _spec(name, row, command=(binary, *row.args) if binary else (), unusable=unusable)


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
