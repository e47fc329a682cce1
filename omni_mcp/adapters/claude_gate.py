"""Says whether a shell command of Claude Code is one of those that its run may use: a hook before each of them.

Rules such as `Bash(docker compose restart litellm)` do not do: a `*` in one stands for anything, a command with `;` or
`>` fits none, and what only reads (`ls`, `echo`) or has `timeout` before it is let through without a rule. So whole
texts are compared here. Should this ever fail to run, nothing is allowed that changes anything: no rule would.

What is let through runs without the agent's way to its model: a LiteLLM started with it would take our relay for its
cloud.
"""

import json
import sys
from collections.abc import Sequence

LOGIN = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN")
"""Environment variables by which the agent reaches its model."""


def answer(call: str, commands: Sequence[str]) -> str:
    """Return the answer to what Claude Code asks of a hook `PreToolUse`. Raises ValueError for what is no question."""
    asked = json.loads(call)
    # Claude Code leaves the way into the folder that it is in away.
    way = f"cd {asked.get('cwd')} && "
    known = {form for each in commands for form in (each, each.removeprefix(way))}
    line = str(asked["tool_input"].get("command", "")).strip()
    good = line in known
    said: dict[str, object] = {
        "hookEventName": "PreToolUse",
        "permissionDecision": "allow" if good else "deny",
        "permissionDecisionReason": "" if good else f"only these commands may be run: {'; '.join(commands)}",
    }
    if good:
        said["updatedInput"] = {**asked["tool_input"], "command": f"unset {' '.join(LOGIN)}; {line}"}
    return json.dumps({"hookSpecificOutput": said})


if __name__ == "__main__":
    sys.stdout.write(answer(sys.stdin.read(), json.loads(sys.argv[1])))
