"""The stand-in for an OpenClaw gateway as a process, with the same handles as the real one of `real_openclaw.py`."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.house import STUBS, free_port
from tests.integration.real_openclaw import Handles, StubCloud


@dataclass(kw_only=True)
class FakeOpenclaw(Handles):
    """A stand-in of either generation."""

    protocol: int = 4

    @property
    def sent(self) -> Sequence[dict[str, Any]]:
        """What it was asked to `send` to people."""
        log = self.folder / "sent.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def fails(self, **faults: Any) -> None:
        """Let these things go wrong from now on, and no others; see `Faults` in `tests/stubs/openclaw_gateway.py`."""
        draft = self.folder / "faults.new"
        draft.write_text(json.dumps(faults))
        draft.replace(self.folder / "faults.json")

    def start(self) -> None:
        """Start it and wait until it listens. Blocks."""
        where = ["--port", str(self.port), "--folder", str(self.folder), "--protocol", str(self.protocol)]
        cloud = f"http://127.0.0.1:{self.cloud.port}"
        self._process = _started("openclaw_gateway.py", *where, "--token", self.token, "--cloud", cloud)

    def kill(self) -> None:
        """End it at once. Blocks."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def finish(self) -> None:
        """Have it finish what runs and end. Blocks."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=30)

    def stop(self) -> None:
        """End it. Blocks."""
        self.kill()


@contextmanager
def fake_openclaw(folder: Path, *, protocol: int = 4, **faults: Any) -> Generator[FakeOpenclaw]:
    """Run a stand-in over a stub cloud of its own until the body ends. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    cloud = StubCloud(folder / "cloud.log")
    gateway = FakeOpenclaw(folder=folder, cloud=cloud, protocol=protocol)
    gateway.fails(**faults)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
        cloud.close()


@contextmanager
def moltworker_edge(gateway: FakeOpenclaw, *, cold: float = 0, fails: bool = False) -> Generator[str]:
    """Run a stand-in for Cloudflare before a gateway until the body ends; gives its url. Blocks."""
    port = free_port()
    more = ["--fails"] if fails else []
    with _started(
        "moltworker_edge.py", "--port", str(port), "--gateway", gateway.url, "--cold", str(cold), *more
    ) as it:
        try:
            yield f"ws://127.0.0.1:{port}/ws"
        finally:
            it.kill()


def _started(stub: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a stub and wait until it says that it listens."""
    argv = [sys.executable, str(STUBS / stub), *arguments]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"listening"
    return process
