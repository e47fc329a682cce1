"""Where the demo of faults plays: two stub clouds, a LiteLLM proxy in front of them, a home that knows both ways."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import yaml
from anyio.abc import Process
from anyio.to_thread import run_sync

from omni_mcp.demo.stage import OPEN_LIMIT, Scene, clean_env, clear, coding_row, logged
from omni_mcp.errors import OmniError
from omni_mcp.llm.router import OFFLINE
from omni_mcp.processes import die_with_parent, whole
from omni_mcp.servers_file.fault_handler import FaultHandler

MASTER_KEY, LITELLM_KEY, BACKUP_KEY = "sk-demo-master", "demo-key-lite", "demo-key-back"
"""The keys of the proxy, of its clouds, and of the same clouds when they are called directly."""

MODELS_OF: Mapping[str, str] = {"auto-chat": "gpt-4o-mini", "auto-coder": "claude-sonnet-4-6"}
"""The proxy's names, and what its clouds call them."""

PRICES: Mapping[str, tuple[float, float]] = {"gpt-4o-mini": (1.5e-7, 6e-7), "claude-sonnet-4-6": (3e-6, 1.5e-5)}
"""USD for a token in and a token out, as LiteLLM's list has them."""

FAST: Mapping[str, float] = {
    "check_interval": 3,
    "lite_llm_timeout": 3,  # longer than usual: the machine may be busy, and a dead proxy refuses at once
    "confirm_delay": 0.5,
    "success_memory": 1,
    "min_dwell": 4,
    "max_dwell": 30,
    "recover_spacing": 0.5,
}
"""What is other than every day in the demo; all but the time-out of a probe is shortened."""

CLOUDS = ("anthropic", "openai")

LIVE_LIMIT = 120.0
"""Seconds that the proxy has to come up: 6 to 35 are usual, the first start compiles."""

_PROXY_NEEDS = ("litellm", "litellm_proxy_extras", "apscheduler", "fastapi")
"""Packages without which `litellm` starts no proxy."""


class NotUp(OmniError):
    """A server of the demo did not come up."""

    code = "demo"


def find_proxy(path: str) -> str | None:
    """Return the first `litellm` on a PATH that can serve: the proxy is an extra, and many have it without."""
    found = [shutil.which("litellm", path=folder) for folder in path.split(os.pathsep)]
    return next((each for each in found if each and _has_the_extra(Path(each))), None)


def _has_the_extra(litellm: Path) -> bool:
    """Ask the interpreter that belongs to it, which takes no time: nothing is imported."""
    pythons = [at.with_name("python") for at in (litellm, litellm.resolve())]
    look = f"from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {_PROXY_NEEDS})))"
    return any(
        subprocess.run([str(python), "-c", look], check=False, capture_output=True).returncode == 0
        for python in pythons
        if python.exists()
    )


@dataclass(kw_only=True)
class Server:
    """A program that listens on a port of loopback; it can be killed, and started again on the same port."""

    root: Path
    argv: Sequence[str]
    port: int
    log: Path
    alive_at: str
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    process: Process | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers. Raises NotUp."""
        with self.log.open("ab") as log:
            start = anyio.open_process(
                die_with_parent(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env={**clean_env(self.root), **self.env},
                start_new_session=True,
            )
            self.process = await whole(start)
        with anyio.move_on_after(LIVE_LIMIT):
            async with httpx.AsyncClient(base_url=self.url, timeout=OPEN_LIMIT, trust_env=False) as client:
                while self.process.returncode is None:
                    if await self._answers(client):
                        return
                    await anyio.sleep(0.1)
        raise NotUp(f"{Path(self.argv[0]).name} did not come up", next_step=f"look into {self.log}")

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(self.alive_at)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except httpx.TransportError:
            return False

    async def kill(self) -> int:
        """Kill it, as nobody can prevent; returns its pid."""
        assert self.process is not None  # noqa: S101 - it was started
        self.process.kill()
        await self.process.wait()
        return self.process.pid


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStage(Scene):
    """What can break here."""

    proxy: str | None
    """The path of the real LiteLLM proxy; None: its stand-in plays."""
    gateway: Server
    clouds: Mapping[str, Server]

    async def sky(self, mode: str) -> None:
        """Tell all clouds at once how they are: `drop` is dark, `ok` is bright."""
        async with httpx.AsyncClient(timeout=OPEN_LIMIT, trust_env=False) as client:
            async with anyio.create_task_group() as orders:
                for cloud in self.clouds.values():
                    orders.start_soon(partial(client.post, f"{cloud.url}/_ctl", json={"mode": mode}))

    def cue(self, name: str) -> None:
        """Let the step of the release go on that waits for this."""
        (self.project / f"cue-{name}").touch()

    def logged(self, cloud: str) -> Sequence[Mapping[str, Any]]:
        """Return what a stub cloud has logged: model calls, and looks at its door."""
        return logged(self.root / f"{cloud}.jsonl")

    @property
    def looks(self) -> Sequence[Mapping[str, Any]]:
        """Return the looks at the stand-in for the proxy; the real one keeps no such log."""
        return logged(self.root / "gateway.jsonl")


@asynccontextmanager
async def staged_faults(root: Path, *, fast: bool = True) -> AsyncGenerator[FaultStage]:
    """Build the stage, nothing started yet; however this ends, nothing of it runs afterwards.

    Without `fast` the times are those of every day.
    """
    for folder in ("home", "project"):
        (root / folder).mkdir()
    clouds = {name: _cloud(root, name) for name in CLOUDS}
    proxy = await run_sync(find_proxy, os.environ.get("PATH", os.defpath))
    gateway = (_litellm if proxy else _stand_in)(root, clouds, proxy or sys.executable)
    stage = FaultStage(root=root, claude=shutil.which("claude"), proxy=proxy, gateway=gateway, clouds=clouds)
    stage.home.servers.write_text(yaml.safe_dump(_servers(stage, FAST if fast else {})), encoding="utf-8")
    try:
        yield stage
    finally:
        with anyio.CancelScope(shield=True):
            await clear(stage, [each.process for each in (gateway, *clouds.values()) if each.process is not None])


def _cloud(root: Path, name: str) -> Server:
    port = _free_port()
    program = [sys.executable, "-P", "-m", "omni_mcp.demo.cloud"]
    argv = [*program, "--port", str(port), "--log", str(root / f"{name}.jsonl")]
    return Server(root=root, argv=argv, port=port, log=root / f"{name}.log", alive_at="/")


def _litellm(root: Path, clouds: Mapping[str, Server], program: str) -> Server:
    port, config = _free_port(), root / "litellm.yaml"
    rows = [
        _route("auto-chat", "openai", f"{clouds['openai'].url}/v1"),
        _route("auto-coder", "anthropic", clouds["anthropic"].url),
    ]
    sections = {
        "model_list": rows,
        "router_settings": {"num_retries": 0, "cooldown_time": 1},
        "general_settings": {"master_key": MASTER_KEY},
    }
    config.write_text(json.dumps(sections), encoding="utf-8")
    argv = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    return Server(root=root, argv=argv, port=port, log=root / "proxy.log", alive_at="/health/liveliness", env=OFFLINE)


def _route(name: str, provider: str, url: str) -> Mapping[str, Any]:
    params = {"model": f"{provider}/{MODELS_OF[name]}", "api_base": url, "api_key": LITELLM_KEY}
    return {"model_name": name, "litellm_params": params}


def _stand_in(root: Path, clouds: Mapping[str, Server], program: str) -> Server:
    port = _free_port()
    argv = [
        *(
            program,
            "-P",
            "-m",
            "omni_mcp.demo.faults.gateway",
            "--port",
            str(port),
            "--log",
            str(root / "gateway.jsonl"),
        ),
        *("--chat", clouds["openai"].url, "--messages", clouds["anthropic"].url),
    ]
    return Server(root=root, argv=argv, port=port, log=root / "proxy.log", alive_at="/health/liveliness")


def _servers(stage: FaultStage, numbers: Mapping[str, float]) -> Mapping[str, Any]:
    """Return servers.yaml: LiteLLM in front, the same clouds behind it by backup keys."""
    usual, strong = MODELS_OF["auto-chat"], MODELS_OF["auto-coder"]
    names = {"default": "auto-chat", "coding": "auto-coder"}
    return {
        "executors": {"claude_code": coding_row(stage), "assistant": {"preset": "assistant", "parallel": 8}},
        "routing": {"rules": [], "default": "assistant"},
        "models": {"gateway": {"base_url": stage.gateway.url, "api_key": MASTER_KEY, "for": names}},
        "direct": {
            "anthropic": {"base_url": stage.clouds["anthropic"].url, "key": BACKUP_KEY, "models": {"default": strong}},
            "openai": {"base_url": f"{stage.clouds['openai'].url}/v1", "key": BACKUP_KEY, "models": {"default": usual}},
        },
        "fault_handler": dict(numbers),
    }


def shortened() -> str:
    """Say which numbers of the mode machine are not those of every day."""
    usual = FaultHandler()
    return ", ".join(f"{name} {value:g} s ({getattr(usual, name):g})" for name, value in FAST.items())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def open_all(stage: FaultStage) -> None:
    """Start clouds and proxy side by side. Raises NotUp."""
    async with anyio.create_task_group() as starts:
        for server in (stage.gateway, *stage.clouds.values()):
            starts.start_soon(server.start)
