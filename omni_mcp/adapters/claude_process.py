"""The lifetime of one `claude` process and of everything that it started.

`claude` runs each shell command in a session of its own, so a process group does not hold the tree together; the mark
that all of them inherit (`OMNI_TASK`) does. Where the kernel offers it, the child gets SIGTERM when we die, on which it
stops its shells itself.
"""

import asyncio
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from omni_mcp.adapters.claude_command import HANDOVER, Command
from omni_mcp.contract import TASK_MARK
from omni_mcp.errors import ExecutorLost, ExecutorUnusable
from omni_mcp.processes import die_with_parent, sweep, whole

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL; `claude` needs one or two to stop its shells and write its session."""
LINE_BYTES = 64 << 20
"""The longest line of the stream that is read; a longer one is garbage."""
STDERR_LINES = 20
"""So many last lines of stderr are kept."""


@asynccontextmanager
async def running(command: Command, *, task_id: str, first: bool) -> AsyncGenerator[Process]:
    """Start `claude` once nothing of the task is left from an earlier life, and leave nothing behind.

    The `first` attempt has none, and need not look at every process of the machine.

    Call it in the main thread: the child's death signal is tied to the thread that starts it.
    Raises ExecutorLost when an earlier run cannot be ended, ExecutorUnusable when `claude` cannot be started.
    """
    if not first and (left := await clear(task_id)):
        raise ExecutorLost(f"an earlier run of this task cannot be ended: {', '.join(left)}")
    with _handover(command.token) as handed:
        process = await whole(_start(command, {**command.env, **handed}))
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await stop(process, task_id)


async def clear(task_id: str) -> Sequence[str]:
    """End every process of a task and return those that are left, in words."""
    return (await run_sync(partial(sweep, TASK_MARK, task_id, grace=GRACE))).remaining


async def lines(process: Process) -> AsyncIterator[bytes]:
    """Yield the lines of stdout to its end; one that is too long comes out empty."""
    assert process.stdout is not None  # noqa: S101 - started with a pipe
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            yield b""
            continue
        if not line:
            return
        yield line


async def feed(process: Process, prompt: bytes) -> None:
    """Write the prompt and close stdin; `claude` begins at its end."""
    assert process.stdin is not None  # noqa: S101 - started with a pipe
    with suppress(ConnectionError):
        process.stdin.write(prompt)
        await process.stdin.drain()
    process.stdin.close()


async def last_words(process: Process) -> str:
    """Read stderr to its end and return its last lines."""
    assert process.stderr is not None  # noqa: S101 - started with a pipe
    kept: deque[str] = deque(maxlen=STDERR_LINES)
    with suppress(ValueError):
        while line := await process.stderr.readline():
            kept.append(line.decode(errors="replace"))
    return "".join(kept)


@contextmanager
def _handover(token: str | None) -> Generator[Mapping[str, str]]:
    """Give the variable that names the file with the token; it is there until it was read, or the run is over."""
    if token is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="omni-") as folder:
        file = Path(folder, "token")
        file.touch(mode=0o600)
        file.write_text(token, encoding="ascii")
        yield {HANDOVER: str(file)}


async def _start(command: Command, env: Mapping[str, str]) -> Process:
    with tempfile.TemporaryFile() as settings:
        settings.write(command.settings)
        settings.seek(0)
        whole_argv = [*command.argv, "--settings", f"/dev/fd/{settings.fileno()}"]
        try:
            return await asyncio.create_subprocess_exec(
                *await run_sync(partial(die_with_parent, whole_argv, signal="TERM")),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=command.cwd,
                env=env,
                pass_fds=[settings.fileno()],
                start_new_session=True,
                limit=LINE_BYTES,
            )
        except OSError as error:
            raise ExecutorUnusable(f"Claude Code cannot be started: {error}") from error


async def stop(process: Process, task_id: str) -> None:
    """End everything of the task, and take note of the end of `claude`."""
    await clear(task_id)
    with anyio.move_on_after(GRACE):
        await process.wait()
