"""The executors: whether each can run, whether it is logged in, and what its processes see of our environment."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from omni_mcp.adapters.claude_command import LOGIN, environment, settings
from omni_mcp.contract import Endpoint, RunRequest
from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, ours
from omni_mcp.executors.surroundings import surroundings
from omni_mcp.presets import INSTALL, NO_MODELS, ExecutorSpec, find
from omni_mcp.this_machine import leads_here

CLAUDE_TESTED = (2, 1, 330)
"""The release of Claude Code that this one was tested with; it tells the ends of a run by fields that change."""
CLAUDE_LIMIT = 10.0
"""Seconds that a question to `claude` may take; measured: 0.2 to 0.6."""
CONNECT_LIMIT = 0.5
"""Seconds in which something on this machine takes a connection."""

_UPGRADE = f"{INSTALL['claude']}@latest"


def executors(scene: Scene) -> Iterator[Finding]:
    """Say of each executor whether it can run; what the settings are to blame for is told there."""
    told = [str(problem) for problem in scene.settings.problems]
    for spec in scene.specs.values():
        if not any(problem in str(spec.unusable) for problem in told):
            yield from _one(spec, scene)
    if not told and not any(spec.unusable is None for spec in scene.specs.values()):
        yield _nobody()


def _nobody() -> Finding:
    text = "no executor can be used, so tasks wait: it takes Claude Code, or a model for the assistant"
    return Finding(code="no-executor", severity=Severity.WARNING, text=text, fix=INSTALL["claude"])


def _one(spec: ExecutorSpec, scene: Scene) -> Iterator[Finding]:
    program = _program(spec)
    if program and find(program, spec.row, scene.home) is None:
        yield _missing(spec, program, scene)
    elif spec.unusable is not None:
        yield _unusable(spec, scene)
    elif spec.row.url:
        yield _listening(spec, scene)
    elif spec.row.preset == "claude-code":
        yield from _claude(spec, scene)
    else:
        yield ok("executor", f"{' '.join(spec.command[:1])} is there", about=spec.name)


def _program(spec: ExecutorSpec) -> str | None:
    return spec.row.command or ("claude" if spec.row.preset == "claude-code" else None)


def _severity(spec: ExecutorSpec, scene: Scene) -> Severity:
    """Return how bad it is when an executor cannot be used: nobody asked for the default ones."""
    return Severity.ERROR if scene.written(("executors", spec.name)) is not None else Severity.NOTE


def _missing(spec: ExecutorSpec, program: str, scene: Scene) -> Finding:
    how = INSTALL.get(Path(program).name, "")
    command = how if how.startswith(("npm ", "pip ")) else None
    return Finding(
        code="program-missing",
        severity=_severity(spec, scene),
        text=str(spec.unusable),
        about=spec.name,
        fix=command or edit(scene.home.servers, scene.line("executors", spec.name)),
        needs=None if command else f"{AN_EDIT}, or the program" + (f": {how}" if how else ""),
    )


def _unusable(spec: ExecutorSpec, scene: Scene) -> Finding:
    code = "no-model" if spec.unusable == NO_MODELS else "executor-unusable"
    begin = not scene.home.servers.exists()
    return Finding(
        code=code,
        severity=_severity(spec, scene),
        text=str(spec.unusable),
        about=spec.name,
        fix=ours(scene.home, "init") if begin else edit(scene.home.servers, scene.line("executors", spec.name)),
        needs="a model: a LiteLLM proxy on this machine, or a provider's key in the environment" if begin else AN_EDIT,
    )


def _listening(spec: ExecutorSpec, scene: Scene) -> Finding:
    """Say whether something listens at the url of an executor, if that is on this machine; others are not asked."""
    url = urlsplit(str(spec.row.url))
    port = url.port or (443 if url.scheme in ("https", "wss") else 80)
    if not leads_here(str(spec.row.url)):
        return ok("executor", f"{url.hostname} is elsewhere: not checked (omni-mcp executors asks it)", about=spec.name)
    try:
        socket.create_connection((str(url.hostname), port), timeout=CONNECT_LIMIT).close()
    except OSError as error:
        return _silent(spec, f"{url.hostname} port {port}", str(error.strerror or error), scene)
    return ok("executor", f"something listens at {url.hostname} port {port}", about=spec.name)


def _silent(spec: ExecutorSpec, where: str, why: str, scene: Scene) -> Finding:
    return Finding(
        code="executor-silent",
        severity=Severity.ERROR,
        text=f"nothing listens at {where} ({why}): its tasks wait until its server is up",
        about=spec.name,
        fix=edit(scene.home.servers, scene.line("executors", spec.name)),
        needs=f"its server to be started, or {AN_EDIT} of its url",
    )


def _claude(spec: ExecutorSpec, scene: Scene) -> Iterator[Finding]:
    binary = find(str(_program(spec)), spec.row, scene.home) or ""
    said = _asked([binary, "--version"], _agent(spec))
    number = re.match(r"(\d+)\.(\d+)\.(\d+)", said or "")
    if number is None:
        text = f"{binary} does not answer to --version"
        yield Finding(code="program-broken", severity=_severity(spec, scene), text=text, about=spec.name, fix=_UPGRADE)
        return
    if tuple(map(int, number.groups())) < CLAUDE_TESTED:
        yield _old(spec, binary, number[0])
    else:
        yield ok("executor", f"{binary} is Claude Code {number[0]}", about=spec.name)
    yield _login(spec, binary, scene)


def _old(spec: ExecutorSpec, binary: str, version: str) -> Finding:
    tested = ".".join(map(str, CLAUDE_TESTED))
    text = f"{binary} is {version}; tested was {tested}: older ones may end a run in other words"
    return Finding(code="program-old", severity=Severity.WARNING, text=text, about=spec.name, fix=_UPGRADE)


def _login(spec: ExecutorSpec, binary: str, scene: Scene) -> Finding:
    """Say whether Claude Code is logged in, by what it says itself; nobody reads its credentials."""
    if spec.relayed:
        return ok("login", "needs no login: its model calls go through the relay", about=spec.name)
    env = _agent(spec)
    if LOGIN & env.keys() or _logged_in(binary, env):
        return ok("login", "is logged in", about=spec.name)
    return Finding(
        code="logged-out",
        severity=_severity(spec, scene),
        text="is not logged in, so every task of its will wait; the relay would need no login: models in servers.yaml",
        about=spec.name,
        fix="claude auth login",
        needs="a login in the browser",
    )


def _logged_in(binary: str, env: Mapping[str, str]) -> bool:
    """Ask Claude Code. One that was never started here is not: asking it would make its files."""
    if not (Path(env.get("CLAUDE_CONFIG_DIR") or env.get("HOME") or Path.home()) / ".claude.json").exists():
        return False
    with suppress(ValueError):
        return bool(json.loads(_asked([binary, "auth", "status"], env) or "{}").get("loggedIn"))
    return False


def _asked(argv: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Return what a program prints; None when it does not start or answer."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLAUDE_LIMIT, env=env, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() or None


def what_children_see(scene: Scene) -> Iterator[Finding]:
    """Name the variables that each executor's process gets, and an agent below it; never their values."""
    for name, spec in scene.specs.items():
        if spec.unusable is None and spec.command:
            names = ", ".join(sorted(surroundings(spec, owner="", mark="")))
            agent = f"; its agent: {', '.join(sorted(_agent(spec)))}" if spec.row.preset == "claude-code" else ""
            yield ok("sees", f"its process sees {names}{agent}", about=name)


def _agent(spec: ExecutorSpec) -> Mapping[str, str]:
    """Return what a `claude` process sees: of its adapter's environment, and by the settings that it is given."""
    endpoint = Endpoint(base_url="http://127.0.0.1", token=SecretStr("")) if spec.relayed else None
    request = RunRequest(task_id="", attempt=1, run_id="", description="", cwd="", endpoint=endpoint)
    given: Any = settings(endpoint).get("env", {})
    return {**environment(request, surroundings(spec, owner="", mark="")), **given}


def sessions(scene: Scene) -> Iterator[Finding]:
    """With `--deep`: open a session to each executor."""
    if not scene.deep:
        return
    from omni_mcp.executors.survey import survey

    for row in anyio.run(survey, scene.settings):
        if row.usable:
            yield ok("session", row.detail or "answers", about=row.name)
        elif scene.specs[row.name].unusable is None:
            text, fix = f"does not work: {row.detail}", ours(scene.home, "engine", "logs")
            yield Finding(
                code="session-failed", severity=Severity.ERROR, text=text, about=row.name, fix=fix, needs="a look"
            )
