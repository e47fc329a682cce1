"""Says whether a shell command of Claude Code is one of those that its run may use: a hook before each of them.

Rules such as `Bash(docker compose restart litellm)` do not do: a `*` in one stands for anything, a command with `;` or
`>` fits none, and what only reads (`ls`, `echo`) or has `timeout` before it is let through without a rule. So whole
texts are compared here. Should this ever fail to run, nothing is allowed that changes anything: no rule would.
"""

import json
import sys
from collections.abc import Sequence


def answer(call: str, commands: Sequence[str]) -> str:
    """Return the answer to what Claude Code asks of a hook `PreToolUse`. Raises ValueError for what is no question."""
    asked = json.loads(call)
    # Claude Code leaves the way into the folder that it is in away.
    way = f"cd {asked.get('cwd')} && "
    known = {form for line in commands for form in (line, line.removeprefix(way))}
    good = str(asked["tool_input"].get("command", "")).strip() in known
    said = {
        "hookEventName": "PreToolUse",
        "permissionDecision": "allow" if good else "deny",
        "permissionDecisionReason": "" if good else f"only these commands may be run: {'; '.join(commands)}",
    }
    return json.dumps({"hookSpecificOutput": said})


if __name__ == "__main__":
    sys.stdout.write(answer(sys.stdin.read(), json.loads(sys.argv[1])))
