"""What the ladder does with processes: starts LiteLLM so that it outlives us, waits for it, ends a wedged one."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import psutil
from anyio.to_thread import run_sync

from omni_mcp.adapters.ladder_look import START_MARK, Heard, has_port, listen
from omni_mcp.adapters.ladder_steps import Cause, Door, cause_of
from omni_mcp.processes import gone, inherited, named, wait_until_gone
from omni_mcp.repair_setup import LadderSetup

TERM_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
POLL = 0.2
"""Seconds between two looks at what is starting."""
LOG_BYTES = 64 << 10
"""Of the end of a log; what did not start has said there why."""
STABLE = 2
"""Good answers in a row that count: one that answers once and dies is not back."""


BEGUN: list[subprocess.Popen[bytes]] = []
"""What was started and lives on: one that ends becomes no zombie for longer than until the next start."""


@dataclass(slots=True)
class Started:
    """What a start has begun."""

    process: subprocess.Popen[bytes]
    log: Path
    answers: int = 0


def begin(setup: LadderSetup, log: Path) -> Started:
    """Run the configured command in a session of its own, its words in `log`. Blocks a little. Raises OSError.

    It has none of our marks, so that what it starts stays when we go, and one of its own, by which it is found again.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        process = subprocess.Popen(
            ["/bin/sh", "-c", setup.command or ":"],
            cwd=setup.cwd or setup.folder,
            env=environment(setup),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    BEGUN[:] = [earlier for earlier in BEGUN if earlier.poll() is None] + [process]
    return Started(process, log)


def environment(setup: LadderSetup) -> Mapping[str, str]:
    """Return what LiteLLM sees of ours: the allow-list, what `env` adds, and its mark."""
    return {**inherited(), **setup.env, START_MARK: setup.base_url}


async def until_up(setup: LadderSetup, started: Started) -> Cause | None:
    """Wait until LiteLLM serves, or return why it does not. A command that hangs is ended; LiteLLM is not."""
    with anyio.move_on_after(setup.grace):
        while True:
            if await _is_up(setup, started):
                return None
            if (code := started.process.poll()) not in (None, 0):
                return cause_of(_tail(started.log), ended=f"the command ended with {code}")
            await anyio.sleep(POLL)
    return cause_of(_tail(started.log), ended=await _cut(setup, started))


async def _is_up(setup: LadderSetup, started: Started) -> bool:
    heard = await listen(setup)
    started.answers = started.answers + 1 if heard.door is Door.WELL else 0
    return started.answers >= STABLE


async def _cut(setup: LadderSetup, started: Started) -> str:
    """Say what a start came to that had its time; a restart that does not end is ended, but for what it keeps up."""
    if started.process.poll() is not None:
        return f"the command ended, and LiteLLM did not answer in {setup.grace:g} s"
    if setup.restart is not None:
        await run_sync(cut_off, setup, started)
        return f"the command did not end in {setup.grace:g} s"
    return f"LiteLLM did not answer in {setup.grace:g} s"


def cut_off(setup: LadderSetup, started: Started) -> None:
    """End a command and what it started, but for what holds LiteLLM's port by now. Blocks."""
    with suppress(psutil.Error):
        command = psutil.Process(started.process.pid)
        end([each for each in (command, *command.children(recursive=True)) if not has_port(each, setup.port)])


async def until_settled(setup: LadderSetup, own: list[psutil.Process], *, age: float) -> Heard:
    """Wait until LiteLLM serves, or its processes have ended or had their time; returns the last answer."""
    heard = await listen(setup)
    with anyio.move_on_after(max(0.0, setup.grace - age)):
        while heard.door is not Door.WELL and not all(map(gone, own)):
            await anyio.sleep(POLL)
            heard = await listen(setup)
    return heard


def end(processes: list[psutil.Process]) -> list[str]:
    """End processes, and no other that has got the number of one since: politely, after 5 s hard. Blocks.

    Returns those that are left.
    """
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.Error):
                stop(process)
        wait_until_gone(processes, limit=TERM_GRACE)
        processes = [process for process in processes if not gone(process)]
    return [named(process) for process in processes]


def _tail(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace")
    return ""
