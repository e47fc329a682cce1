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
    """Return whether a piece of a stream says something: text, a thought, a tool call; heads and ends do not.

    A `ping` does: the model is at work, and whoever waits for it should hear that.
    """
    if dialect is Dialect.ANTHROPIC:
        kind = piece.get("type")
        return kind in ("content_block_delta", "ping") or (kind == "content_block_start" and _is_whole(piece))
    return any(_table(choice.get("delta")).get(field) for choice in _tables(piece) for field in _SAYING)


def _is_whole(piece: Mapping[str, Any]) -> bool:
    """Whether a block says something before its deltas: a tool's name, a search result; not an empty text."""
    return _table(piece.get("content_block")).get("type", "text") not in ("text", "thinking")


def _tables(piece: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    rows: Any = piece.get("choices")
    return map(_table, cast("list[Any]", rows)) if isinstance(rows, list) else ()


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
