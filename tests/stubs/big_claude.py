"""Stands in for `claude -p` where what it prints is large: it speaks stream-json, and needs no model."""

import json
import sys
import uuid
from typing import Any

SHARE = 1
"""What the sizes are divided by; whoever copies this writes another number."""
SIZES = {"whole": 20_000_000, "tool": 30_000_000, "garbage": 70_000_000}
"""Characters; those of `whole` make a line of 50 MB."""


def say(**event: Any) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Say what the task names, then end well."""
    if "--version" in sys.argv:
        sys.stdout.write("2.1.330 (Claude Code)\n")
        return
    task = sys.stdin.read().strip()
    session = str(uuid.uuid4())
    say(type="system", subtype="init", session_id=session, model="none")
    size = SIZES.get(task, 0) // SHARE
    if task == "tool":
        block = {"type": "tool_result", "tool_use_id": "t", "content": "y" * size}
        say(type="user", message={"role": "user", "content": [block]})
    if task == "garbage":
        sys.stdout.write("z" * size + "\n")
    end = "begin " + "写\n" * (size // 2 - 5) + " the end" if task == "whole" else "short"
    say(type="result", subtype="success", is_error=False, result=end, session_id=session, num_turns=1)


main()
