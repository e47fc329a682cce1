"""Where the runs of `attach` live: a process of its own that no engine started; an adapter asks it by run id.

SIGUSR1 cuts all its connections; the runs go on.
"""

import json
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chaos.stubs.journal import alone, home, note
from chaos.stubs.work import Work

SOCKET = "gateway.sock"


@dataclass
class Run:
    """A run and how far it is."""

    asked: Any
    steps: int = 0
    status: str = "running"
    moved: threading.Condition = field(default_factory=threading.Condition)

    def work(self) -> None:
        """Do it, whoever listens."""
        who = {"attempt": self.asked["attempt"], "run": self.asked["run_id"]}
        work, task = Work.read(self.asked["description"]), self.asked["task_id"]
        with alone(task, **who):
            while self.steps < work.steps and self.status == "running":
                with self.moved:
                    self.moved.wait_for(lambda: self.status != "running", work.pause)
                    self.steps += 1
                    self.moved.notify_all()
                note("step", task=task, step=self.steps - 1, **who)
        self.end("completed")

    def end(self, status: str) -> None:
        """Be over, once."""
        with self.moved:
            if self.status == "running":
                self.status = status
            self.moved.notify_all()


runs: dict[str, Run] = {}
listeners: set[socket.socket] = set()


def serve_one(connection: socket.socket) -> None:
    """Answer one request: `run` begins a run or joins it, `cancel` ends it."""
    listeners.add(connection)
    with suppress(OSError, ValueError), connection, connection.makefile("r") as lines:
        for message in follow(json.loads(lines.readline())):
            connection.sendall(json.dumps(message).encode() + b"\n")
    listeners.discard(connection)


def follow(asked: Any):
    """Yield how far a run is, and in the end what became of it."""
    if asked["op"] == "cancel":
        if asked["run_id"] in runs:
            runs[asked["run_id"]].end("cancelled")
        yield {"status": "cancelled"}
        return
    run = _joined(asked)
    seen = run.steps
    while run.status == "running":
        with run.moved:
            run.moved.wait(1)
        if run.steps != seen:
            seen = run.steps
            yield {"progress": f"step {seen}"}
    yield {"status": run.status}


def _joined(asked: Any) -> Run:
    run = runs.get(asked["run_id"])
    if run is None:
        run = runs[asked["run_id"]] = Run(asked)
        note("begun", task=asked["task_id"], run=asked["run_id"])
        threading.Thread(target=run.work, daemon=True).start()
    return run


def cut(_number: int, _frame: object) -> None:
    """Drop all who listen."""
    for connection in list(listeners):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve until killed."""
    signal.signal(signal.SIGUSR1, cut)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home() / SOCKET))
        server.listen()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
