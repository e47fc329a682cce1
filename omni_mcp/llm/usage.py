"""How many tokens an answer says that it used, whole or piece by piece, in the words of both APIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omni_mcp.llm.base import Dialect


@dataclass(slots=True)
class Tokens:
    """What was counted so far; None is unknown. The input includes what a cache read or stored."""

    input: int | None = None
    output: int | None = None
    cache_read: int = 0
    cache_stored: int = 0
    cost_usd: float | None = None
    """What the answer itself says that it cost (OpenRouter; LiteLLM with `include_cost_in_streaming_usage`)."""

    @property
    def complete(self) -> bool:
        """Whether both sides are known."""
        return self.input is not None and self.output is not None

    def take(self, dialect: Dialect, piece: Mapping[str, Any]) -> None:
        """Take what an answer, or an event of one, says."""
        if dialect is Dialect.OPENAI:
            self._take_chat(_mapping(piece.get("usage")))
        elif piece.get("type") == "message_start":
            self._take_input(_mapping(_mapping(piece.get("message")).get("usage")))
        else:
            self._take_message(_mapping(piece.get("usage")), whole=piece.get("type") == "message")

    def _take_chat(self, usage: Mapping[str, Any]) -> None:
        """https://platform.openai.com/docs/api-reference/chat/object, https://openrouter.ai/docs/use-cases/usage-accounting"""
        self.input = _number(usage.get("prompt_tokens"), self.input)
        self.output = _number(usage.get("completion_tokens"), self.output)
        details = _mapping(usage.get("prompt_tokens_details"))
        self.cache_read = _number(details.get("cached_tokens"), self.cache_read) or 0
        self.cache_stored = _number(details.get("cache_write_tokens"), self.cache_stored) or 0
        self._take_cost(usage)

    def _take_message(self, usage: Mapping[str, Any], *, whole: bool) -> None:
        """https://docs.anthropic.com/en/api/messages; in a stream the last `message_delta` has the whole output.

        A cost that LiteLLM 1.106 puts there is that of the output alone, so it is not taken for that of the call.
        """
        self._take_input(usage)
        self.output = _number(usage.get("output_tokens"), self.output)
        if whole:
            self._take_cost(usage)

    def _take_input(self, usage: Mapping[str, Any]) -> None:
        """Take the input alone: at the start of a stream the output is a first guess."""
        fresh = _number(usage.get("input_tokens"), None)
        if fresh is None:
            return
        self.cache_read = _number(usage.get("cache_read_input_tokens"), None) or 0
        self.cache_stored = _number(usage.get("cache_creation_input_tokens"), None) or 0
        self.input = fresh + self.cache_read + self.cache_stored

    def _take_cost(self, usage: Mapping[str, Any]) -> None:
        cost = usage.get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0:
            self.cost_usd = float(cost)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _number(value: Any, otherwise: int | None) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if whole else otherwise
