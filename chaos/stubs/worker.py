"""The process in which a session works: in a session of its own, deaf to a broken pipe, as a shell of an agent is.

python -m chaos.stubs.worker TASK ATTEMPT RUN RESUME DESCRIPTION
"""

import os
import sys
import time
from contextlib import suppress

from chaos.stubs.journal import SESSIONS, alone, home, note, read
from chaos.stubs.work import Work


def main(task: str, attempt: str, run: str, resume: str, description: str) -> None:
    """Do the steps that this session has not finished; a finished one is in its file before anybody hears of it."""
    session = f"{SESSIONS}/{run}"
    finished = len(read(home() / session)) if resume == "True" else 0
    asked = Work.read(description)
    with alone(task, attempt=int(attempt), run=run):
        for step in range(finished, asked.steps):
            time.sleep(asked.pause)
            note("step", session, task=task, attempt=int(attempt), run=run, step=step)
            with suppress(OSError):
                os.write(1, f"step {step}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
