"""Server-sent events of both model APIs: whole answers told as events, and errors in each one's own words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omni_mcp.llm.base import Dialect

DONE = b"data: [DONE]\n\n"
"""The end of a stream of chat completions."""

_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(dialect: Dialect, status: int, message: str) -> Mapping[str, Any]:
    """Return an error as the API of this dialect writes it."""
    if dialect is Dialect.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def error_event(dialect: Dialect, status: int, message: str) -> bytes:
    """Return an error that comes after the stream has begun."""
    body = error_body(dialect, status, message)
    return event("error", body) if dialect is Dialect.ANTHROPIC else data(body)


def message_events(message: Mapping[str, Any]) -> Iterator[bytes]:
    """Tell a whole Anthropic message as the events of a stream, each content block in one piece."""
    head = {"content": (), "stop_reason": None, "stop_sequence": None}
    yield event("message_start", {"type": "message_start", "message": {**message, **head}})
    for index, block in enumerate(message.get("content") or ()):
        yield from _block_events(index, block)
    end = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    yield event("message_delta", {"type": "message_delta", "delta": end, "usage": message.get("usage")})
    yield event("message_stop", {"type": "message_stop"})


def event(name: str, payload: Mapping[str, Any]) -> bytes:
    """Return a named event."""
    return f"event: {name}\n".encode() + data(payload)


def data(payload: Mapping[str, Any]) -> bytes:
    """Return an event without a name."""
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


def _block_events(index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
    empty, deltas = _taken_apart(block)
    yield event("content_block_start", {"type": "content_block_start", "index": index, "content_block": empty})
    for delta in deltas:
        yield event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
    yield event("content_block_stop", {"type": "content_block_stop", "index": index})


def _taken_apart(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """Return a block without what streams, and the deltas that bring it back; other blocks come whole."""
    match block.get("type"):
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "tool_use" | "server_tool_use":
            spelled = json.dumps(block["input"], ensure_ascii=False)
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": spelled}]
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block.get("signature", "")},
            ]
            return {**block, "thinking": "", "signature": ""}, deltas
        case _:
            return block, []
