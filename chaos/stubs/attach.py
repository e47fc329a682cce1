"""An adapter to the gateway (`attach`): it only listens, so that its death costs no run."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from chaos.stubs.gateway import SOCKET
from chaos.stubs.journal import home
from chaos.stubs.wire import Call, serve, structured

TRIES = 5
"""How often a cut connection is opened again."""


def run_task(call: Call) -> Mapping[str, Any]:
    """Begin a run, or join it; a cancelled call leaves it alone."""
    asked = call.arguments["request"]
    for _ in range(TRIES):
        for message in _heard({"op": "run", **asked}, call):
            if "status" in message:
                return _result(message["status"], asked["task_id"])
            call.progress(message["progress"])
    return structured(status="failed", failure="interrupted", message="the gateway cuts us off")


def _result(status: str, task: str) -> Mapping[str, Any]:
    if status == "completed":
        return structured(status="completed", text=f"done {task}")
    return structured(status="failed", failure="cancelled", message="cancelled at the gateway")


def _heard(asked: Mapping[str, Any], call: Call | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield what the gateway says until it, or our caller, ends the talk."""
    with socket.socket(socket.AF_UNIX) as connection:
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
    """End a run at the gateway."""
    list(_heard({"op": "cancel", **call.arguments["request"]}))
    return structured(stopped=True)


def health(_call: Call) -> Mapping[str, Any]:
    """Be well."""
    return structured(ok=True)


if __name__ == "__main__":
    serve("attach", {"run_task": run_task, "cancel": cancel, "health": health})
