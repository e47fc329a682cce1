"""One answer of the stub cloud in the words of both model APIs, whole or as server-sent events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omni_mcp.demo.answers import Step

PIECE = 12
"""Characters of text in one event."""

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
"""What both vendors call a status; anything else is an `api_error`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and what it used."""

    id: str
    model: str
    step: Step
    input_tokens: int
    output_tokens: int

    @property
    def pieces(self) -> Sequence[str]:
        """The text in the pieces in which it streams."""
        return [self.step.text[at : at + PIECE] for at in range(0, len(self.step.text), PIECE)]


def error(status: int, message: str, *, code: str | None = None) -> dict[str, Any]:
    """Return an error body that clients of both APIs understand."""
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message, "code": code}}


def anthropic_body(reply: Reply) -> dict[str, Any]:
    """Return the whole answer of `/v1/messages`."""
    text = [{"type": "text", "text": reply.step.text}] if reply.step.text else []
    return {**_anthropic_head(reply), "content": [*text, *_tool_use(reply)], **_anthropic_stop(reply)}


def anthropic_events(reply: Reply) -> Iterator[bytes]:
    """Yield the events of a streamed `/v1/messages`."""
    yield _event("message_start", message={**_anthropic_head(reply), "content": [], "stop_reason": None})
    if reply.step.text:
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in reply.pieces:
            yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield _event("content_block_stop", index=0)
    for index, block in enumerate(_tool_use(reply), start=bool(reply.step.text)):
        yield _event("content_block_start", index=index, content_block={**block, "input": {}})
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"], ensure_ascii=False)}
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=_anthropic_stop(reply), usage={"output_tokens": reply.output_tokens})
    yield _event("message_stop")


def openai_body(reply: Reply) -> dict[str, Any]:
    """Return the whole answer of `/v1/chat/completions`."""
    message = {"role": "assistant", "content": reply.step.text or None, **_tool_calls(reply)}
    choice = {"index": 0, "message": message, "finish_reason": _openai_stop(reply)}
    return {**_openai_head(reply, "chat.completion"), "choices": [choice], "usage": _openai_usage(reply)}


def openai_events(reply: Reply) -> Iterator[bytes]:
    """Yield the events of a streamed `/v1/chat/completions`, usage last."""
    yield _chunk(reply, {"role": "assistant", "content": ""})
    for piece in reply.pieces:
        yield _chunk(reply, {"content": piece})
    if calls := _tool_calls(reply):
        yield _chunk(reply, calls)
    yield _chunk(reply, {}, finish=_openai_stop(reply))
    yield _data({**_openai_head(reply, "chat.completion.chunk"), "choices": [], "usage": _openai_usage(reply)})
    yield b"data: [DONE]\n\n"


def _anthropic_head(reply: Reply) -> dict[str, Any]:
    usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
    return {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model, "usage": usage}


def _anthropic_stop(reply: Reply) -> dict[str, Any]:
    return {"stop_reason": "tool_use" if reply.step.tool else "end_turn", "stop_sequence": None}


def _tool_use(reply: Reply) -> list[dict[str, Any]]:
    if reply.step.tool is None:
        return []
    return [{"type": "tool_use", "id": f"toolu_{reply.id}", "name": reply.step.tool, "input": dict(reply.step.input)}]


def _openai_head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.id}", "object": kind, "created": 0, "model": reply.model}


def _openai_usage(reply: Reply) -> dict[str, int]:
    total = reply.input_tokens + reply.output_tokens
    return {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens, "total_tokens": total}


def _openai_stop(reply: Reply) -> str:
    return "tool_calls" if reply.step.tool else "stop"


def _tool_calls(reply: Reply) -> dict[str, Any]:
    if reply.step.tool is None:
        return {}
    function = {"name": reply.step.tool, "arguments": json.dumps(reply.step.input, ensure_ascii=False)}
    return {"tool_calls": [{"index": 0, "id": f"call_{reply.id}", "type": "function", "function": function}]}


def _chunk(reply: Reply, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _data({**_openai_head(reply, "chat.completion.chunk"), "choices": [choice]})


def _event(name: str, **payload: Any) -> bytes:
    return f"event: {name}\n".encode() + _data({"type": name, **payload})


def _data(payload: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()
