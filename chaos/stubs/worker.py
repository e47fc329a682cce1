"""The process in which a session works: in a session of its own, deaf to a broken pipe, as a shell of an agent is.

python -m chaos.stubs.worker TASK ATTEMPT RUN RESUME DESCRIPTION
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from chaos.stubs.journal import alone, append, home, note
from chaos.stubs.work import Work


def main(task: str, attempt: str, run: str, resume: str, description: str) -> None:
    """Do the steps that this session has not finished; a finished one is in its file before anybody hears of it."""
    session = home() / "sessions" / run
    if resume != "True":
        session.unlink(missing_ok=True)
    asked = Work.read(description)
    with alone(task, attempt=int(attempt), run=run):
        for step in range(_finished(session), asked.steps):
            time.sleep(asked.pause)
            append(session, f"{step}\n")
            note("step", task=task, attempt=int(attempt), run=run, step=step)
            with suppress(OSError):
                os.write(1, f"step {step}\n".encode())


def _finished(session: Path) -> int:
    return len(session.read_text().splitlines()) if session.exists() else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
