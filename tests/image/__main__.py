"""`make image-check`: build roots from the Dockerfile's own lines and use the program as Docker would start it.

Linux, root and debootstrap are needed; the base image is stood for by a Debian with its own Python.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.image.dockerfile import stages
from tests.image.ignore import Context
from tests.image.root import Builder, Image
from tests.integration.house import until_then

ROOT = Path(__file__).parents[2]
LIMIT = 120.0
"""Seconds that anything may take once the image is there."""
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}},
}


@dataclass(frozen=True, slots=True)
class Container:
    """An image and the ways to use it."""

    image: Image

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as `docker run` with these words; without `given` its stdin is empty, as without -i."""
        stdin = subprocess.DEVNULL if given is None else None
        argv = self.image.argv([*self.image.entrypoint, *words])
        return subprocess.run(
            argv, stdin=stdin, input=given, capture_output=True, text=True, timeout=LIMIT, check=False
        )

    def exec(self, *argv: str) -> str:
        """Run a program in it; returns what it printed."""
        done = subprocess.run(self.image.argv(argv), capture_output=True, text=True, timeout=LIMIT, check=True)
        return done.stdout.strip()

    @contextmanager
    def running(self, words: Sequence[str]) -> Generator["subprocess.Popen[bytes]"]:
        """Run it until the end of the `with`, then end it with the signal of `docker stop`."""
        process = subprocess.Popen(
            self.image.argv([*self.image.entrypoint, *words]), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            _first(process.pid, signal.SIGTERM)
            process.wait(LIMIT)


def _first(parent: int, number: int) -> None:
    """Send a signal to the first process of a namespace, whose parent is the process that made it."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split():
        os.kill(int(child), number)


def says_how_to_connect(container: Container) -> None:
    """`docker run --rm IMAGE`: nobody is there to talk to, so it tells how to use it."""
    done = container.run()
    assert done.returncode == 2, done
    assert "claude mcp add omni -- docker run -i --rm" in done.stderr, done.stderr


def speaks_mcp(container: Container) -> None:
    """`docker run -i --rm IMAGE`: a client is there."""
    done = container.run(given=json.dumps(HELLO) + "\n")
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "Omni-Orchestrator", done


def plays_the_demo(container: Container) -> None:
    """`docker run --rm IMAGE demo`."""
    done = container.run("demo", "--json")
    assert json.loads(done.stdout)["ok"], done.stdout + done.stderr


def serves(container: Container) -> None:
    """The command of compose.yaml; its health check, and the one of the image, are well; `docker stop` ends it."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["omni"]
    check = service["healthcheck"]["test"][1:]
    with container.running(service["command"]) as process:
        until_then(lambda: _answers("http://127.0.0.1:8765/readyz"), limit=LIMIT)
        container.exec(*check)
        container.exec(*container.image.health)
    assert process.returncode in (0, 128 + signal.SIGTERM, -signal.SIGTERM), process.returncode


def has_no_rights(container: Container) -> None:
    """Its user is not root, and can write its home and nothing of the program."""
    assert container.exec("id", "-un") == container.image.user != "root"
    container.exec("touch", f"{container.image.volumes[0]}/x")
    refused = container.image.argv(["touch", "/opt/omni/x"])
    assert subprocess.run(refused, capture_output=True, check=False).returncode != 0


def is_small(container: Container) -> None:
    """Compiled, and without what it was built with."""
    packages = next((container.image.root / "opt/omni/lib").glob("*/site-packages"))
    assert list(packages.glob("omni_mcp/__pycache__/engine.*.pyc"))
    assert not [name for name in ("pip", "pytest", "hatchling") if (packages / name).exists()]
    say(f"    /opt/omni: {_megabytes(container.image.root / 'opt/omni'):.0f} MB")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own, on loopback
            return json.load(answer)["engine"]
    except OSError:
        return False


def _megabytes(folder: Path) -> float:
    return sum(each.lstat().st_size for each in folder.rglob("*") if each.is_file()) / 1e6


def image() -> Image:
    """Build the image; returns its last stage."""
    builder = Builder(context=Context.of(ROOT), cache=ROOT / ".cache/image")
    built: Any = None
    for stage in stages((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        built = builder.build(stage)
    return built


def main() -> None:
    """Build and check; the first thing that is not so ends it."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit(
            "this needs Linux, root and debootstrap (apt-get install debootstrap); docker build . needs none of it"
        )
    began = time.monotonic()
    container = Container(image())
    say(f"built in {time.monotonic() - began:.0f} s")
    for check in (says_how_to_connect, speaks_mcp, has_no_rights, is_small, serves, plays_the_demo):
        check(container)
        say(f"ok  {check.__name__.replace('_', ' ')}")


if __name__ == "__main__":
    main()
