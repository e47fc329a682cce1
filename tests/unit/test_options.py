"""What of the options which executor keeps."""

from typing import Any

import pytest

from omni_mcp.decide.options import handed_on, refusal, timeout_of
from omni_mcp.servers_file.executors import ExecutorRow

CLAUDE = ExecutorRow(preset="claude-code", permissions="edit", max_turns=10, timeout=60)
IN_WORKTREES = ExecutorRow(preset="claude-code", worktree=True)
TOOL = ExecutorRow(command="x", tool="t")
ADAPTER = ExecutorRow(command="x", handles=("coding",))
ASSISTANT = ExecutorRow(preset="assistant")
GATEWAY = ExecutorRow(preset="openclaw", url="ws://127.0.0.1:18789")


@pytest.mark.parametrize(
    ("row", "options", "said"),
    [
        (CLAUDE, {}, None),
        (CLAUDE, {"permissions": "read-only", "worktree": True, "max_turns": 10, "timeout": 60.0}, None),
        (CLAUDE, {"permissions": "full"}, "allows options.permissions up to edit, not full"),
        (CLAUDE, {"max_turns": 11}, "allows options.max_turns up to 10, not 11"),
        (CLAUDE, {"timeout": 61}, "allows options.timeout up to 60, not 61"),
        (IN_WORKTREES, {"worktree": False}, "always works in a worktree"),
        (IN_WORKTREES, {"max_turns": 99}, None),
        (TOOL, {"timeout": 5, "max_attempts": 1, "worktree": False, "permissions": "full"}, None),
        (TOOL, {"timeout": 5000}, "up to 3600"),
        (TOOL, {"permissions": "read-only"}, "cannot keep options.permissions"),
        (TOOL, {"max_turns": 1}, "cannot keep options.max_turns"),
        (ASSISTANT, {"permissions": "read-only", "max_turns": 1}, None),
        (ASSISTANT, {"worktree": True}, "cannot keep options.worktree"),
        (GATEWAY, {"permissions": "read-only"}, "cannot keep options.permissions"),
        (GATEWAY, {"permissions": "full", "timeout": 5}, None),
        (ADAPTER, {"permissions": "read-only", "worktree": True}, None),
    ],
)
def test_an_option_that_an_executor_would_not_keep_is_named(
    row: ExecutorRow, options: dict[str, Any], said: str | None
) -> None:
    found = refusal(options, row)
    assert found is None if said is None else said in (found or "")


def test_an_executor_is_told_what_is_its_own_and_the_engine_keeps_the_rest() -> None:
    options = {"permissions": "read-only", "timeout": 5, "max_attempts": 1}
    assert handed_on(options) == {"permissions": "read-only"}
    assert [timeout_of(options, 60), timeout_of({}, 60), timeout_of({"timeout": 90}, 60)] == [5, 60, 60]
