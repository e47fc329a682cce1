"""What a tool's answer says, as text and as data. Pure."""

import json
from typing import Any

from mcp.types import CallToolResult, TextContent


def text_of(answer: CallToolResult) -> str:
    """Return the text of an answer; what is not text is named by its type, so that nothing vanishes silently."""
    parts = [part.text if isinstance(part, TextContent) else f"[{part.type}]" for part in answer.content]
    return "\n".join(parts)


def shown(value: Any) -> str:
    """Return a value as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
