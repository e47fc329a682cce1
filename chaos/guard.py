"""Ends what a home left behind when its driver is gone, however that died: it reads a pipe that ends with the driver.

python -m chaos.guard HOME…
"""

import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from chaos.stubs.journal import HOME
from omni_mcp.processes import marked

AGAIN = 0.1
"""Seconds between two looks: a spare may just be taking over."""


@contextmanager
def guarded(homes: Sequence[Path]) -> Generator[None]:
    """Have nothing of these homes alive after the body, also when this process is killed in it."""
    argv = [sys.executable, "-m", "chaos.guard", *map(str, homes)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True):
        yield


def main(homes: Sequence[str]) -> None:
    """Wait for the end of the driver, then end everything that is marked with one of the homes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    while found := [process for home in homes for process in marked(HOME, home)]:
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(AGAIN)


if __name__ == "__main__":
    main(sys.argv[1:])
