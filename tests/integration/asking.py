"""A row of servers.yaml whose tool asks in the middle of a task."""

import sys
from typing import Any

from tests.integration.house import STUBS


def asking_server(times: int = 1) -> dict[str, Any]:
    """Return the row: it asks so often which of A and B is meant."""
    return {
        "command": sys.executable,
        "args": [str(STUBS / "asking_server.py")],
        "tool": "ask",
        "arguments": {"text": "{description}", "times": times},
        "protocol": "legacy",
        "handles": ["ask"],
    }
