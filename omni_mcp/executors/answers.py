"""What a tool's answer says, as text and as data. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.types import CallToolResult, TextContent


class NotThere(LookupError):
    """A JSON pointer leads to nothing."""


def text_of(answer: CallToolResult) -> str:
    """Return the text of an answer; what is not text is named by its type, so that nothing vanishes silently."""
    parts = [part.text if isinstance(part, TextContent) else f"[{part.type}]" for part in answer.content]
    return "\n".join(parts)


def shown(value: Any) -> str:
    """Return a value as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def at(pointer: str, document: Any) -> Any:
    """Return what an RFC 6901 JSON pointer such as `/answer/0` leads to. Raises NotThere."""
    for token in pointer.split("/")[1:]:
        document = _step(document, token.replace("~1", "/").replace("~0", "~"))
    return document


def _step(document: Any, key: str) -> Any:
    match document:
        case Mapping() if key in document:
            return document[key]  # pyright: ignore[reportUnknownVariableType]
        case str():
            raise NotThere(key)
        case Sequence() if key.isdecimal() and int(key) < len(document):  # pyright: ignore[reportUnknownArgumentType]
            return document[int(key)]  # pyright: ignore[reportUnknownVariableType]
        case _:
            raise NotThere(key)
