"""Look around on this machine: programs, what listens on loopback, keys by their names.

Nothing is read from the current directory, and no value of a key is kept or told; the key of a LiteLLM proxy is used
once, to ask that proxy for the names of its models, as the engine will.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from omni_mcp.setup.clouds import CLOUDS, MASTER_KEY, OTHER_KEYS
from omni_mcp.setup.restart import Restart, by_compose, by_process
from omni_mcp.this_machine import leads_here

PROGRAMS = ("claude", "openclaw", "codex")
GATEWAY = "http://127.0.0.1:4000"
"""Where a LiteLLM proxy listens by default."""
OPENCLAW_PORT = 18789
TIMEOUT = 2.0
"""Seconds for what listens on loopback to answer."""
PROGRAM_TIMEOUT = 15.0
"""Seconds for a program to say its version: those on Node take some on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program on PATH."""

    name: str
    path: str
    version: str | None
    """None: it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A LiteLLM proxy."""

    base_url: str
    answers: bool
    models: Sequence[str] = ()
    """The names that it told; none where it wants a key that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """A project of docker compose that runs."""

    name: str
    files: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there."""

    programs: Sequence[Program] = ()
    proxy: Proxy | None = None
    openclaw: str | None = None
    """The URL of what listens on OpenClaw's port."""
    keys: Sequence[str] = ()
    """Names of variables that are set."""
    projects: Sequence[Compose] = ()
    restart: Restart | None = None
    """How the proxy could be started again."""

    def has(self, program: str) -> bool:
        """Whether a program is on PATH."""
        return any(each.name == program for each in self.programs)


def look(variables: Mapping[str, str], *, gateway: str | None = None, beside: str = GATEWAY) -> Found:
    """Look for everything. `gateway` is a proxy that the user named; else one is looked for at `beside`."""
    wanted = (*(cloud.key for cloud in CLOUDS), *OTHER_KEYS)
    proxy = look_for_proxy(gateway or beside, variables.get(MASTER_KEY))
    projects = look_for_projects()
    return Found(
        programs=tuple(found for name in PROGRAMS if (found := look_for_program(name))),
        proxy=proxy if gateway or proxy.answers else None,
        openclaw=f"ws://127.0.0.1:{OPENCLAW_PORT}" if listens(OPENCLAW_PORT) else None,
        keys=tuple(name for name in wanted if variables.get(name)),
        projects=projects,
        restart=look_for_restart(proxy, projects) if gateway or proxy.answers else None,
    )


def look_for_restart(proxy: Proxy, projects: Sequence[Compose]) -> Restart | None:
    """Return how a proxy on this machine could be started again."""
    if not leads_here(proxy.base_url):
        return None
    files = [file for project in projects for file in project.files.split(",")]
    return by_compose(files) or by_process(urlsplit(proxy.base_url).port or 80)


def look_for_program(name: str) -> Program | None:
    """Return a program with what it says of its version; None if it is not on PATH."""
    path = shutil.which(name)
    if path is None:
        return None
    said = _output([path, "--version"])
    return Program(name=name, path=path, version=said.strip().splitlines()[0][:80] if said and said.strip() else None)


def look_for_proxy(base_url: str, key: str | None) -> Proxy:
    """Return a LiteLLM proxy, whether it lives, and its models; others on that port say nothing of being alive."""
    base_url = base_url.rstrip("/")
    try:
        with httpx.Client(timeout=TIMEOUT, trust_env=not leads_here(base_url)) as client:
            alive = client.get(f"{base_url}/health/liveliness")
            if not alive.is_success or "alive" not in alive.text:
                return Proxy(base_url=base_url, answers=False)
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return Proxy(
                base_url=base_url, answers=True, models=_names(client.get(f"{base_url}/v1/models", headers=headers))
            )
    except (httpx.HTTPError, httpx.InvalidURL):
        return Proxy(base_url=base_url, answers=False)


def _names(answer: httpx.Response) -> Sequence[str]:
    """Return the models of a list; those with a slash are what a wildcard stands for."""
    try:
        rows: Any = answer.json()["data"] if answer.is_success else []
        return tuple(str(row["id"]) for row in rows if not {"/", "*"} & set(str(row["id"])))
    except (ValueError, LookupError, TypeError):
        return ()


def listens(port: int) -> bool:
    """Whether something on loopback takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT):
            return True
    except OSError:
        return False


def look_for_projects() -> Sequence[Compose]:
    """Return the compose projects that docker names."""
    docker = shutil.which("docker")
    said = _output([docker, "compose", "ls", "--format", "json"]) if docker else None
    try:
        rows: Any = json.loads(said or "[]")
        return tuple(Compose(name=str(row["Name"]), files=str(row["ConfigFiles"])) for row in cast("list[Any]", rows))
    except (ValueError, LookupError, TypeError):
        return ()


def _output(argv: Sequence[str]) -> str | None:
    """Return what a program prints; None if it fails or takes too long."""
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROGRAM_TIMEOUT, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout
