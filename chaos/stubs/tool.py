"""A foreign MCP server with one tool that takes its time; it serves `retry` and `ask`."""

from collections.abc import Mapping
from typing import Any

from chaos.stubs.journal import alone, note
from chaos.stubs.wire import Call, serve, text
from chaos.stubs.work import Work


def work(call: Call) -> Mapping[str, Any]:
    """Do the steps of a description."""
    task, attempt = call.arguments["task_id"], call.arguments["attempt"]
    asked = Work.read(call.arguments["text"])
    with alone(task, attempt=attempt):
        for step in range(asked.steps):
            if call.cancelled.wait(asked.pause):
                break
            note("step", task=task, attempt=attempt, step=step)
            call.progress(f"step {step}")
    return text(f"done {task}")


if __name__ == "__main__":
    serve("tool", {"work": work})
