"""The cloud, where the runs of `attach` live: a process of its own that no engine started; an adapter asks by run id.

It remembers its runs on disk, and goes on with them when it was killed and started again. SIGUSR1 cuts all its
connections; the runs go on.
"""

import json
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from chaos.stubs.journal import CLOUD, alone, home, note, read
from chaos.stubs.work import Work

SOCKET = "gateway.sock"


@dataclass
class Run:
    """A run and how far it is."""

    asked: Any
    steps: int = 0
    status: str = "running"
    moved: threading.Condition = field(default_factory=threading.Condition)

    @property
    def memory(self) -> str:
        """The file of this run."""
        return f"{CLOUD}/{self.asked['run_id']}"

    def begin(self) -> None:
        """Work, whoever listens."""
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        who = {"attempt": self.asked["attempt"], "run": self.asked["run_id"]}
        work, task = Work.read(self.asked["description"]), self.asked["task_id"]
        with alone(task, **who):
            while self.steps < work.steps and self.status == "running":
                with self.moved:
                    self.moved.wait_for(lambda: self.status != "running", work.pause)
                    note("step", self.memory, task=task, step=self.steps, **who)
                    self.steps += 1
                    self.moved.notify_all()
        self.end("completed")

    def end(self, status: str) -> None:
        """Be over, once."""
        with self.moved:
            if self.status == "running":
                note("over", self.memory, status=status)
                self.status = status
            self.moved.notify_all()


runs: dict[str, Run] = {}
listeners: set[socket.socket] = set()
joining = threading.Lock()


def serve_one(connection: socket.socket) -> None:
    """Answer one request: `run` begins a run or joins it, `cancel` ends it."""
    listeners.add(connection)
    with suppress(OSError, ValueError), connection, connection.makefile("r") as lines:
        for message in follow(json.loads(lines.readline())):
            connection.sendall(json.dumps(message).encode() + b"\n")
    listeners.discard(connection)


def follow(asked: Any) -> Iterator[Mapping[str, Any]]:
    """Yield how far a run is, and in the end what became of it."""
    if asked["op"] == "cancel":
        _known(asked, "refused").end("cancelled")
        yield {"status": "cancelled"}
        return
    run = _known(asked, "begun")
    seen = run.steps
    while run.status == "running":
        with run.moved:
            run.moved.wait(1)
        if run.steps != seen:
            seen = run.steps
            yield {"progress": f"step {seen}"}
    yield {"status": run.status}


def _known(asked: Any, otherwise: str) -> Run:
    """Return a run; one that we never heard of is begun, or refused: a cancel may overtake what it cancels."""
    with joining:
        run = runs.get(asked["run_id"])
        if run is None:
            run = runs[asked["run_id"]] = Run(asked)
            note(otherwise, run.memory, task=asked["task_id"], run=asked["run_id"], asked=asked)
            if otherwise == "begun":
                run.begin()
    return run


def remember() -> None:
    """Take up all runs where the one before us left them."""
    for file in (home() / CLOUD).iterdir():
        first, *rest = read(file)
        steps = sum(line["kind"] == "step" for line in rest)
        ends = [line["status"] for line in rest if line["kind"] == "over"]
        status = "cancelled" if first["kind"] == "refused" else (*ends, "running")[0]
        run = runs[file.name] = Run(first["asked"], steps=steps, status=status)
        if status == "running":
            run.begin()


def cut(_number: int, _frame: object) -> None:
    """Drop all who listen."""
    for connection in list(listeners):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve until killed."""
    signal.signal(signal.SIGUSR1, cut)
    remember()
    (home() / SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home() / SOCKET))
        server.listen()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
