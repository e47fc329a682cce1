"""An adapter whose runs die with it, but whose sessions are on disk (`resume`): each works in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from chaos.stubs.wire import Call, serve, structured

runs: dict[str, "subprocess.Popen[str]"] = {}


def run_task(call: Call) -> Mapping[str, Any]:
    """Start the worker of a run and wait for its end."""
    asked = call.arguments["request"]
    named = [asked[field] for field in ("task_id", "attempt", "run_id", "resume", "description")]
    argv = [sys.executable, "-m", "chaos.stubs.worker", *map(str, named)]
    env = {**os.environ, "OMNI_TASK": asked["task_id"]}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True) as process:
        runs[asked["run_id"]] = process
        threading.Thread(target=_end_when_cancelled, args=(call, process), daemon=True).start()
        for line in process.stdout or ():
            call.progress(line.strip())
    if process.returncode == 0:
        return structured(status="completed", text=f"done {asked['task_id']}")
    return structured(status="failed", failure="interrupted", message=f"the worker ended with {process.returncode}")


def _end_when_cancelled(call: Call, process: "subprocess.Popen[str]") -> None:
    call.cancelled.wait()
    process.kill()


def cancel(call: Call) -> Mapping[str, Any]:
    """End the worker of a run."""
    process = runs.get(call.arguments["request"]["run_id"])
    if process is not None:
        process.kill()
        process.wait()
    return structured(stopped=True)


def health(_call: Call) -> Mapping[str, Any]:
    """Be well."""
    return structured(ok=True)


if __name__ == "__main__":
    serve("session", {"run_task": run_task, "cancel": cancel, "health": health})
