"""What makes an answer one: its shape, and that something is said in it. Pure.

A layer that answers HTTP 200 with a sign-in page, an error or nothing at all is told by LiteLLM (1.106) as a stream
that ends well and says nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from omni_mcp.llm.base import Dialect
from omni_mcp.llm.failures import error_in

_SAYING = frozenset({"content", "tool_calls", "function_call", "reasoning_content", "reasoning", "refusal", "audio"})
"""Fields of a chat's delta that say something, where they are not empty."""


def is_answer(dialect: Dialect, body: Mapping[str, Any]) -> bool:
    """Return whether a whole body is an answer of this API."""
    if error_in(body) is not None:
        return False
    if dialect is Dialect.ANTHROPIC:
        return body.get("type") == "message" and isinstance(body.get("content"), list)
    return isinstance(body.get("choices"), list)


def says_something(dialect: Dialect, piece: Mapping[str, Any]) -> bool:
    """Return whether a piece of a stream says something: text, a thought, a tool call; heads and ends do not."""
    if dialect is Dialect.ANTHROPIC:
        kind = piece.get("type")
        return kind == "content_block_delta" or (kind == "content_block_start" and _is_whole(piece))
    deltas = (choice.get("delta") or {} for choice in _tables(piece.get("choices")))
    return any(delta.get(field) for delta in deltas for field in _SAYING)


def _is_whole(piece: Mapping[str, Any]) -> bool:
    """Whether a block says something before its deltas: a tool's name, a search result; not an empty text."""
    block = piece.get("content_block")
    return isinstance(block, Mapping) and cast("Mapping[str, Any]", block).get("type") not in ("text", "thinking")


def _tables(value: Any) -> Iterable[Mapping[str, Any]]:
    rows: Iterable[Any] = cast("Iterable[Any]", value) if isinstance(value, list) else ()
    return (row for row in rows if isinstance(row, Mapping))
