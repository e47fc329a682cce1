"""Claude Code as an executor: an MCP server over stdio that runs `claude -p` under `contract.py`.

Start it with `python -m omni_mcp.adapters.claude_code [--binary PATH] [--permissions PROFILE] [--ask] [--root DIR]…`.
A run goes on in its session after a kill of any of us (`resume`), and never leaves a process behind.
"""

import argparse
import logging
import os
import subprocess
from asyncio.subprocess import Process
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path

import anyio
from anyio import CancelScope

from omni_mcp.adapters.claude_ask import Dialogue
from omni_mcp.adapters.claude_command import (
    PROFILES,
    Setup,
    command_for,
    find_binary,
    wants_worktree,
)
from omni_mcp.adapters.claude_process import clear, feed, last_words, lines, running, stop
from omni_mcp.adapters.claude_result import INSTALL_FIX, Exit, conclude, forgotten, hopeless, unanswered
from omni_mcp.adapters.claude_stream import Transcript
from omni_mcp.adapters.serving import Ask, Tell, serve
from omni_mcp.adapters.worktree import Worktree, closed, opened
from omni_mcp.contract import CancelResult, Health, RunRef, RunRequest, RunResult, failed
from omni_mcp.errors import BadRequest, ExecutorError, ExecutorUnusable
from omni_mcp.pause import Pause
from omni_mcp.question import Answer, Asked
from omni_mcp.task import FailureClass

MARGIN = 10.0
"""Seconds before the engine's limit at which a run is stopped, so that what it produced is still reported."""
VERSION_LIMIT = 10.0
"""Seconds that `claude --version` may take."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run while it lasts; `over` is set when none of its processes is left."""

    scope: CancelScope = field(default_factory=CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)
    transcript: Transcript = field(default_factory=Transcript)
    resumed: bool = False
    tree: Worktree | None = None
    given_up: RunResult | None = None
    """What it came to when we ended it because no model answers."""


class ClaudeCode:
    """Runs attempts with the `claude` binary of one executor row."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._runs: dict[str, _Run] = {}

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Run one attempt to its end; every end is a result. A cancelled call stops the whole tree first."""
        try:
            with self._listed(request) as run:
                result = await self._judged(run, request, tell, ask)
                result = result if run.tree is None else await closed(run.tree, result)
        except ExecutorError as error:
            return failed(error.kind, error.message, fix=error.next_step)
        except BadRequest as error:
            return failed(FailureClass.TASK, error.message, fix=error.next_step)
        return result.model_copy(update={"notes": {**result.notes, "resumed": run.resumed}})

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run and wait until none of its processes is left."""
        if (run := self._runs.get(ref.run_id)) is not None:
            run.scope.cancel()
            await run.over.wait()
        left = await clear(ref.task_id)
        return CancelResult(stopped=not left, remaining=list(left))

    async def health(self) -> Health:
        """Say whether the binary is there and starts."""
        try:
            binary = find_binary(self._setup)
            with anyio.fail_after(VERSION_LIMIT):
                answer = await anyio.run_process([binary, "--version"], stdin=subprocess.DEVNULL, check=False)
        except ExecutorUnusable as error:
            return Health(ok=False, detail=error.message, fix=error.next_step)
        except (OSError, TimeoutError) as error:
            return Health(ok=False, detail=f"{self._setup.binary} --version: {error or 'no answer'}")
        version = answer.stdout.decode(errors="replace").strip()
        if answer.returncode != 0:
            return Health(ok=False, detail=f"{binary} --version: exit code {answer.returncode}", fix=INSTALL_FIX)
        return Health(ok=True, version=version, detail=f"{binary}, permissions {self._setup.permissions}")

    @contextmanager
    def _listed(self, request: RunRequest) -> Generator[_Run]:
        run = self._runs[request.run_id] = _Run()
        try:
            yield run
        finally:
            del self._runs[request.run_id]
            run.over.set()

    async def _judged(self, run: _Run, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        relayed = request.endpoint is not None
        limit = request.timeout - min(MARGIN, request.timeout / 10)
        with run.scope, anyio.move_on_after(limit) as deadline:
            placed = await self._placed(run, request, tell)
            end = await self._play(run, placed, tell, _patient(ask, Pause(deadline)))
            if run.given_up is not None:
                return run.given_up
            return conclude(run.transcript, end, relayed=relayed)
        if run.transcript.result is not None:
            return conclude(run.transcript, Exit(code=None, stderr=""), relayed=relayed)
        if deadline.cancelled_caught:
            message = f"Claude Code did not finish in {limit:.0f} s"
            return failed(FailureClass.TASK, message, text=run.transcript.said, fix="raise the executor's timeout")
        return failed(FailureClass.CANCELLED, "stopped on request", text=run.transcript.said)

    async def _placed(self, run: _Run, request: RunRequest, tell: Tell) -> RunRequest:
        """Return the request to work in a worktree, where that is wanted. Raises BadRequest."""
        if not wants_worktree(self._setup, request):
            return request
        command_for(self._setup, request, resume=False, env=os.environ)  # refuses before anything is made
        run.tree = await opened(self._setup.worktrees, request)
        await tell(f"works in {run.tree.words}")
        description = f"{request.description}\n\n{run.tree.hint}"
        return request.model_copy(update={"cwd": str(run.tree.folder), "description": description})

    async def _play(self, run: _Run, request: RunRequest, tell: Tell, ask: Ask) -> Exit:
        """Go on in the earlier session if that is asked for and there is one, else begin."""
        if request.resume:
            end = await self._once(run, request, tell, ask, resume=True)
            if not forgotten(run.transcript, end):
                return end
            run.transcript = Transcript()
        return await self._once(run, request, tell, ask, resume=False)

    async def _once(self, run: _Run, request: RunRequest, tell: Tell, ask: Ask, *, resume: bool) -> Exit:
        # In a worktree of ours the task's own cwd is what was checked.
        setup = self._setup if run.tree is None else replace(self._setup, roots=())
        command = command_for(setup, request, resume=resume, env=os.environ)
        run.resumed = resume
        words: list[str] = []
        first = request.attempt == 1 and not request.resume
        async with (
            running(command, task_id=request.task_id, first=first) as process,
            anyio.create_task_group() as tasks,
        ):
            logger.info("claude is process %s", process.pid, extra={"action": "started", "task_id": request.task_id})

            async def listen() -> None:
                words.append(await last_words(process))

            dialogue = Dialogue(process, ask, tasks) if command.asks else None
            begin = dialogue.begin if dialogue else partial(feed, process)
            tasks.start_soon(begin, command.prompt, name="prompt")
            tasks.start_soon(listen, name="stderr")
            await self._follow(run, process, tell, dialogue, watched=request.endpoint is None)
            if dialogue:
                dialogue.end()
            if run.given_up is not None:
                await stop(process, request.task_id)
            await process.wait()
        return Exit(code=process.returncode, stderr="".join(words))

    async def _follow(
        self, run: _Run, process: Process, tell: Tell, dialogue: Dialogue | None, *, watched: bool
    ) -> None:
        """Take in the stream to its end, or until it is proven that no model answers."""
        transcript, silent = run.transcript, self._setup.silent
        with anyio.CancelScope() as patience:
            async for line in lines(process):
                for told in transcript.take(line):
                    await tell(told)
                if dialogue:
                    dialogue.hear(line)
                    if transcript.result is not None:  # with its stdin open `claude` would wait for another prompt
                        dialogue.end()
                run.given_up = hopeless(transcript, datetime.now(UTC))
                if run.given_up is not None:
                    return
                asks_us = dialogue is not None and dialogue.waits
                asks_a_model = watched and transcript.asking and not asks_us
                patience.deadline = anyio.current_time() + silent if asks_a_model else inf
        if patience.cancelled_caught:
            run.given_up = unanswered(transcript, silent)


def _patient(ask: Ask, limit: Pause) -> Ask:
    """Return a way to ask that does not count against the time of the run."""

    async def patient(asked: Asked) -> Answer:
        with limit.asking():
            return await ask(asked)

    return patient


def parse(argv: list[str] | None = None) -> Setup:
    """Return what the command line says; None: that of this process."""
    parser = argparse.ArgumentParser(prog="omni_mcp.adapters.claude_code", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", default="claude", help="name or path of claude")
    parser.add_argument("--permissions", choices=list(PROFILES), default="edit", help="the most that a run may do")
    parser.add_argument("--ask", action="store_true", help="ask for what the permissions do not cover")
    parser.add_argument("--root", type=Path, action="append", default=[], help="a folder that a cwd must be below")
    parser.add_argument("--max-turns", type=int, help="turns of the model that a run may take")
    parser.add_argument("--worktrees", type=Path, default=Path("worktrees"), help="where git worktrees are made")
    parser.add_argument("--in-worktree", action="store_true", help="every run works in a git worktree")
    parser.add_argument("--silent", type=float, default=180, help="seconds that a model call may bring nothing")
    given = parser.parse_args(argv)
    return Setup(
        binary=given.binary,
        permissions=given.permissions,
        roots=tuple(given.root),
        max_turns=given.max_turns,
        worktrees=given.worktrees.absolute(),
        in_worktree=given.in_worktree,
        silent=given.silent,
        asks=given.ask,
    )


def main() -> None:
    """Serve over stdio until stdin ends."""
    serve("claude-code", ClaudeCode(parse()))


if __name__ == "__main__":
    main()
