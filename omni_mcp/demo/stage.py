"""Where the demo plays: a temporary home with its servers.yaml, a stub cloud, clean clients. Nothing stays behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import yaml
from anyio.abc import Process
from anyio.to_thread import run_sync
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from omni_mcp import background
from omni_mcp.demo.answers import WORK_LOG
from omni_mcp.errors import EngineError
from omni_mcp.home import Home
from omni_mcp.processes import die_with_parent, marked, sweep, whole

OPEN_LIMIT = 30.0
"""Seconds that the cloud or a face has to come up; the first start of all compiles bytecode."""
ENGINE_LIMIT = 15.0
"""Seconds that the engine has to give back its work at the end."""
VANISH_LIMIT = 20.0
"""Seconds in which processes that were told to go have gone, on a machine that is busy."""
LOOK_AGAIN = 0.05

PRICES: Mapping[str, tuple[float, float]] = {"demo-chat": (1e-6, 4e-6), "demo-coder": (3e-6, 15e-6)}
"""Demo USD for a token in and a token out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The folder of one demo, and what every demo has in it."""

    root: Path
    claude: str | None
    """The path of the real Claude Code; None: its stand-in plays."""
    left: list[str] = field(default_factory=list[str])
    """The processes that were still there at the end and had to be ended by force, in words."""

    @property
    def home(self) -> Home:
        """The home of server and engine."""
        return Home(self.root / "home")

    @property
    def project(self) -> Path:
        """Where the coding task works."""
        return self.root / "project"

    @property
    def work_log(self) -> Sequence[str]:
        """What the steps of the coding task wrote, by themselves."""
        return _lines(self.project / WORK_LOG)

    @property
    def sessions(self) -> Sequence[str]:
        """The ids of the sessions that the coding agent has on disk."""
        files = [*self.root.glob("sessions/*.json"), *self.root.glob(".claude/projects/*/*.jsonl")]
        return [file.stem for file in files]

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of all that runs here."""
        return clean_env(self.root)

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client[Any]]:
        """Start an MCP server on the home, as a client does, and give the client of it."""
        argv = ["-P", "-m", "omni_mcp", "--home", str(self.home.root)]
        with (self.root / "face.log").open("a", encoding="utf-8") as log:
            face = StdioTransport(sys.executable, argv, env=dict(self.env), keep_alive=False, log_file=log)
            async with Client(face, init_timeout=OPEN_LIMIT) as client:
                yield client

    def living(self) -> bool:
        """Say whether a process of this demo is alive; all have its folder as HOME."""
        return bool(marked("HOME", str(self.root)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Scene):
    """Where the demo of the main job plays."""

    cloud: Process

    @property
    def requests(self) -> Sequence[Mapping[str, Any]]:
        """The model calls that the stub cloud has served."""
        return logged(self.root / "cloud.jsonl")

    async def configure(self) -> None:
        """Write servers.yaml, as soon as the cloud says where it listens."""
        assert self.cloud.stdout is not None  # noqa: S101 - started with a pipe
        with anyio.fail_after(OPEN_LIMIT):
            said = (await self.cloud.stdout.receive()).decode().split()
        self.home.servers.write_text(yaml.safe_dump(servers(self, f"http://127.0.0.1:{said[1]}")), encoding="utf-8")


@asynccontextmanager
async def staged(root: Path) -> AsyncGenerator[Stage]:
    """Build the stage in an empty folder; however this ends, nothing of it runs afterwards."""
    for folder in ("home", "project"):
        (root / folder).mkdir()
    argv = die_with_parent([sys.executable, "-P", "-m", "omni_mcp.demo.cloud", "--log", str(root / "cloud.jsonl")])
    start = anyio.open_process(argv, stdin=subprocess.DEVNULL, stderr=None, env=clean_env(root), start_new_session=True)
    async with await whole(start) as cloud:
        stage = Stage(root=root, claude=shutil.which("claude"), cloud=cloud)
        try:
            yield stage
        finally:
            with anyio.CancelScope(shield=True):
                await clear(stage, [cloud])


async def clear(scene: Scene, started: Sequence[Process]) -> None:
    """End the engine and what we started ourselves; what then still lives is ended by force, and told."""
    with suppress(EngineError, OSError):
        await run_sync(partial(background.stop, scene.home, limit=ENGINE_LIMIT))
    for process in started:
        await end(process)
    with anyio.move_on_after(VANISH_LIMIT):
        await until(lambda: not scene.living())
    swept = await run_sync(sweep, "HOME", str(scene.root))
    scene.left.extend([*swept.ended, *swept.remaining])


async def end(process: Process) -> None:
    """End a process politely, or hard when it takes its time."""
    with suppress(ProcessLookupError):
        process.terminate()
        with anyio.move_on_after(VANISH_LIMIT):
            await process.wait()
        process.kill()
    await process.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again until it holds; the caller bounds it."""
    while True:
        if holds():
            return
        await anyio.sleep(LOOK_AGAIN)


def clean_env(root: Path) -> dict[str, str]:
    """Return the environment of all that we start: of the user's only the way to programs, no key and no home."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_") or k in ("TMPDIR", "SYSTEMROOT")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "HOME": str(root), "LANG": "C.UTF-8", **kept}


def servers(stage: Stage, cloud: str) -> Mapping[str, Any]:
    """Return the servers.yaml of the demo; its routing is the default one, which asks for an openclaw."""
    chat, coder = _model("demo-chat", "openai", f"{cloud}/v1"), _model("demo-coder", "anthropic", cloud)
    return {
        "executors": {"claude_code": coding_row(stage), "assistant": {"preset": "assistant"}},
        "models": {"model_list": [chat, coder], "for": {"coding": "demo-coder", "default": "demo-chat"}},
    }


def coding_row(stage: Scene) -> Mapping[str, Any]:
    """Return the row of the coding agent: the real Claude Code, or its stand-in."""
    if stage.claude is not None:
        return {"preset": "claude-code", "command": stage.claude, "login": "relay"}
    args = ["-P", "-m", "omni_mcp.demo.stand_in", "--sessions", str(stage.root / "sessions")]
    return {"command": sys.executable, "args": args, "handles": ["coding"], "recovery": "resume", "login": "relay"}


def _model(name: str, provider: str, url: str) -> Mapping[str, Any]:
    token_in, token_out = PRICES[name]
    prices = {"input_cost_per_token": token_in, "output_cost_per_token": token_out}
    params = {"model": f"{provider}/{name}", "api_base": url, "api_key": "demo-key", **prices}
    return {"model_name": name, "litellm_params": params}


def logged(file: Path) -> Sequence[Mapping[str, Any]]:
    """Return what a stub has logged."""
    return [json.loads(line) for line in _lines(file)]


def _lines(file: Path) -> Sequence[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
