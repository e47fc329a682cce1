"""The real OpenClaw gateway for tests: `make .cache/openclaw/.installed` provides it; nothing leaves loopback.

One takes half a minute to start and a gigabyte while it lives, so tests share the one of the fixture `openclaw`; a test
that kills it or wants other settings opens its own with `real_openclaw`.
"""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import httpx
import psutil
import pytest

from tests.integration.house import free_port, until_then

INSTALLED = Path(__file__).parents[2] / ".cache/openclaw"
NODE = INSTALLED / "node/node_modules/.bin"
BINARY = INSTALLED / "node_modules/.bin/openclaw"

REAL_OPENCLAW = [
    pytest.mark.openclaw,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (INSTALLED / ".installed").exists(), reason="no gateway: make .cache/openclaw/.installed"),
]
"""Marks of a test with the real gateway."""

TOKEN = "oc-token-of-the-tests-0123456789"
MODEL = "stub/stub-1"
WORKER = "omni-worker"
"""An agent that has none of our tools."""
PRICES = {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0}
"""USD for a million tokens."""

READY_LIMIT = 240.0
"""Seconds until it is ready; measured: 15 to 43 on two busy cores."""
STOP_LIMIT = 60.0
"""Seconds that it has to finish what runs."""


class StubCloud:
    """The stub cloud of the demo as a process of its own, so that it outlives the event loop of a test."""

    def __init__(self, log: Path) -> None:
        self._log = log
        argv = [sys.executable, "-m", "omni_mcp.demo.cloud", "--log", str(log)]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().split()[-1])

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        """Every model call so far; see `demo.cloud.Seen`."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in map(json.loads, lines) if "step" in line]

    def fail(self, mode: str, **more: Any) -> None:
        """Set a fault (see `demo.cloud`), with `times` and `retry_after`; `ok` ends it."""
        httpx.post(f"http://127.0.0.1:{self.port}/_ctl", json={"mode": mode, **more}, trust_env=False)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@dataclass(kw_only=True)
class Handles:
    """A gateway with a folder of its own, before, while and after it runs: the real one, or its stand-in."""

    folder: Path
    cloud: StubCloud
    port: int = field(default_factory=free_port)
    token: str = TOKEN
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it speaks its protocol."""
        return f"ws://127.0.0.1:{self.port}"


@dataclass(kw_only=True)
class RealOpenclaw(Handles):
    """A gateway with a home of its own."""

    person: int = field(default_factory=free_port)
    """The port of loopback at which somebody may listen for what it sends to `a2a:person`."""

    @property
    def home(self) -> Path:
        """Its HOME."""
        return self.folder / "home"

    @property
    def settings(self) -> Path:
        """Its settings file."""
        return self.home / ".openclaw/openclaw.json"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "gateway.log"

    @property
    def env(self) -> Mapping[str, str]:
        """The whole environment of the gateway and of its commands."""
        return {
            "PATH": f"{NODE}:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.folder),  # it writes a log there
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_NO_RESPAWN": "1",
            "OPENCLAW_GATEWAY_TOKEN": self.token,
        }

    def configure(self, **sections: Any) -> None:
        """Write the settings; `sections` replace those of the same name. Before the first start only."""
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(json.dumps({**self._settings(), **sections}, indent=2))

    def _settings(self) -> dict[str, Any]:
        model = {"id": "stub-1", "name": "Stub", "reasoning": False, "input": ["text"], "cost": PRICES}
        stub = {
            "baseUrl": f"http://127.0.0.1:{self.cloud.port}/v1",
            "apiKey": "sk-stub",
            "api": "openai-completions",
            "models": [{**model, "contextWindow": 128_000, "maxTokens": 4096}],
        }
        here = "http://127.0.0.1"
        auth = {"mode": "token", "token": self.token}
        return {
            "gateway": {"mode": "local", "bind": "loopback", "port": self.port, "auth": auth},
            "models": {"mode": "merge", "catalogRefresh": {"enabled": False}, "providers": {"stub": stub}},
            "agents": {
                "defaults": {"model": {"primary": MODEL}, "heartbeat": {"every": "0m"}},
                "entries": {"main": {}, WORKER: {"tools": {"deny": ["omni__*"]}}},
            },
            "channels": {
                "a2a": {"enabled": True, "peers": {"person": {"token": self.token, "url": f"{here}:{self.person}/"}}}
            },
            "cron": {"webhookToken": self.token, "webhookSsrfPolicy": {"allowedHostnames": ["127.0.0.1"]}},
            "logging": {"file": str(self.folder / "openclaw.log")},
            "update": {"checkOnStart": False},
        }

    def start(self) -> None:
        """Start it and wait until it is ready. Blocks."""
        with self.log.open("ab") as log:
            self._process = self._started(log)
        try:
            until_then(self._ready, limit=READY_LIMIT)
        except TimeoutError:
            raise AssertionError(f"the gateway is not ready:\n{self.log.read_text()[-2000:]}") from None

    def _started(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        argv = [str(BINARY), "gateway", "run", "--port", str(self.port), "--bind", "loopback"]
        return subprocess.Popen(
            argv, cwd=self.home, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the gateway ended:\n{self.log.read_text()[-2000:]}"
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def kill(self) -> None:
        """End it and all that it started at once. Blocks."""
        _kill(self._tree())
        self._reap()

    def stop(self) -> None:
        """Have it finish what runs and end; what is left then is killed. Blocks."""
        tree = self._tree()
        for gateway in tree[:1]:
            gateway.terminate()
        psutil.wait_procs(tree[:1], timeout=STOP_LIMIT)
        _kill(tree)
        self._reap()

    def _reap(self) -> None:
        """Take its exit status, so that another one may be started in its place."""
        if self._process is not None:
            self._process.wait()

    def _tree(self) -> Sequence[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]

    async def cli(self, *words: str) -> tuple[int, str]:
        """Run a command of OpenClaw; returns its exit code and what it printed. One takes 2 to 20 s."""
        argv = [str(BINARY), *words]
        done = await anyio.run_process(argv, cwd=self.home, env=self.env, check=False)
        return done.returncode, done.stdout.decode() + done.stderr.decode()


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=STOP_LIMIT)


@contextmanager
def real_openclaw(folder: Path, **sections: Any) -> Generator[RealOpenclaw]:
    """Run a gateway over a stub cloud of its own until the body ends; gives it when it is ready. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    cloud = StubCloud(folder / "cloud.log")
    gateway = RealOpenclaw(folder=folder, cloud=cloud)
    try:
        gateway.configure(**sections)
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
        cloud.close()


@pytest.fixture(scope="session")
def openclaw(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealOpenclaw]:
    """The gateway that tests share."""
    with real_openclaw(tmp_path_factory.mktemp("openclaw")) as gateway:
        yield gateway
