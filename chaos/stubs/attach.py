"""An adapter to the cloud (`attach`): it only listens, so that its death costs no run."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from chaos.stubs.gateway import SOCKET
from chaos.stubs.journal import home
from chaos.stubs.wire import Call, serve, structured

PATIENCE = 6.0
"""Seconds without a word from the cloud until it is given up."""
PAUSE = 0.2
"""Seconds between two tries to reach it."""


def run_task(call: Call) -> Mapping[str, Any]:
    """Begin a run, or join one that was begun (`attach`); a cancelled call leaves it alone."""
    asked = call.arguments["request"]
    heard = time.monotonic()
    while time.monotonic() < heard + PATIENCE and not call.cancelled.is_set():
        for message in _heard({"op": "run", **asked}, call):
            heard = time.monotonic()
            if "status" in message:
                return _result(message["status"], asked["task_id"])
            call.progress(message["progress"])
        time.sleep(PAUSE)
    return structured(status="failed", failure="interrupted", message="the cloud cuts us off")


def _result(status: str, task: str) -> Mapping[str, Any]:
    if status == "completed":
        return structured(status="completed", text=f"done {task}")
    return structured(status="failed", failure="cancelled", message="cancelled in the cloud")


def _heard(asked: Mapping[str, Any], call: Call | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield what the cloud says until it, or our caller, ends the talk; nothing when it is not there."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home() / SOCKET))
        if call is not None:
            threading.Thread(target=_leave, args=(call, connection), daemon=True).start()
        with connection.makefile("rw") as lines:
            lines.write(json.dumps(asked) + "\n")
            lines.flush()
            yield from map(json.loads, lines)


def _leave(call: Call, connection: socket.socket) -> None:
    call.cancelled.wait()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def cancel(call: Call) -> Mapping[str, Any]:
    """End a run in the cloud; only what that confirms is said to have stopped."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if list(_heard({"op": "cancel", **call.arguments["request"]})):
            return structured(stopped=True)
        time.sleep(PAUSE)
    return structured(stopped=False, remaining=["the run in the cloud"])


def health(_call: Call) -> Mapping[str, Any]:
    """Be well."""
    return structured(ok=True)


if __name__ == "__main__":
    serve("attach", {"run_task": run_task, "attach": run_task, "cancel": cancel, "health": health})
