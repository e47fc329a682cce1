"""Runs a program for one notice: bounded, with an environment without keys, and gone when it is over."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.to_thread import run_sync

from omni_mcp.errors import NotTold
from omni_mcp.notify.base import LIMIT
from omni_mcp.processes import INHERITED, die_with_parent, whole

SEEN = INHERITED | {
    *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
}
"""What of our environment it sees: the desktop and the way out, but no keys."""
PLACE = Path(Path(__file__).anchor)
"""The folder it works in: always there, and nothing that somebody left in the folder of whoever called is read."""
KEPT = 4096
"""Bytes of what it writes as an error that are kept, the last ones."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    code: int
    said: str
    """The end of what it wrote as an error."""


async def run(argv: Sequence[str], *, given: bytes = b"", variables: Mapping[str, str] | None = None) -> Ended:
    """Run it to its end, with `given` to read. Raises NotTold when it cannot be started or takes too long."""
    try:
        with anyio.fail_after(LIMIT):
            async with await whole(_started(argv, variables or {})) as process:
                return await _end_of(process, given)
    except TimeoutError as error:
        raise NotTold(f"no answer in {LIMIT:g} s") from error
    except OSError as error:
        raise NotTold(f"it cannot be started: {error.strerror}", final=True) from error


async def _started(argv: Sequence[str], variables: Mapping[str, str]) -> Process:
    ours = {name: value for name, value in os.environ.items() if name.upper() in SEEN or name.startswith("LC_")}
    command = await run_sync(die_with_parent, argv)
    return await anyio.open_process(
        command, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, cwd=PLACE, env={**ours, **variables}
    )


async def _end_of(process: Process, given: bytes) -> Ended:
    assert process.stdin is not None  # noqa: S101 - started with pipes
    assert process.stderr is not None  # noqa: S101
    with suppress(anyio.BrokenResourceError):  # it did not want to read
        await process.stdin.send(given)
    await process.stdin.aclose()
    said = await _tail(process.stderr)
    return Ended(await process.wait(), said.decode(errors="replace").strip()[-200:])


async def _tail(stream: ByteReceiveStream) -> bytes:
    """Return the end of what is read; more is never in memory, however much it writes."""
    tail = b""
    async for chunk in stream:
        tail = (tail + chunk)[-KEPT:]
    return tail
