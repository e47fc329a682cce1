"""A spare for a process: a fork that waits with everything imported, and goes on in milliseconds when we are killed.

A new engine imports for one to two seconds; its tasks need not wait for that, nor for a face to start it. The fork
shares our memory (copy on write), so that it costs little. Linux only: elsewhere a fork without an exec is not safe
(macOS) or there is none (Windows), and a face starts the next engine.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

GOODBYE = b"."
"""What the spare reads when we end by ourselves; at a kill it reads the end of the pipe instead."""
TOO_SOON = 1.0
"""Seconds: a process that was killed or broke earlier is not replaced, or a fault at the start would go on for ever."""


@contextmanager
def spared(let_go: Callable[[], None]) -> Generator[None]:
    """Run the body here; at a kill run it once more in the spare, which called `let_go` when it was made.

    To be entered before there is any thread or event loop: a fork takes none of them along.
    """
    said = _leave_a_spare(let_go)
    try:
        yield
    finally:
        if said is not None:
            with suppress(BrokenPipeError):  # the spare was killed before us
                os.write(said, GOODBYE)
            os.close(said)


def _leave_a_spare(let_go: Callable[[], None]) -> int | None:
    """Fork; returns our end of the pipe, in the spare not before its time has come (it has then a spare of its own)."""
    if sys.platform != "linux":
        return None
    gc.freeze()
    while True:
        ours, theirs = os.pipe()[::-1]
        if os.fork():
            os.close(theirs)
            return ours
        os.close(ours)
        let_go()
        if not _is_needed(theirs):
            os._exit(0)


def _is_needed(theirs: int) -> bool:
    """Wait for the end of the one before us; whether it was killed."""
    began = time.monotonic()
    with suppress(KeyboardInterrupt), open(theirs, "rb", buffering=0) as pipe:
        return not pipe.read(1) and time.monotonic() - began > TOO_SOON
    return False
