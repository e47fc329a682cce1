"""What may be said in a model call, and what is said where the caller says nothing (`models.defaults`)."""

from collections.abc import Mapping
from typing import Any, cast

from omni_mcp.llm.base import Answer, Dialect, ModelGateway

FIELDS: Mapping[Dialect, frozenset[str]] = {
    Dialect.OPENAI: frozenset({
        "messages", "temperature", "top_p", "n", "stop", "max_tokens", "max_completion_tokens", "presence_penalty",
        "frequency_penalty", "logit_bias", "user", "response_format", "seed", "tools", "tool_choice",
        "parallel_tool_calls", "logprobs", "top_logprobs", "reasoning_effort",
    }),
    Dialect.ANTHROPIC: frozenset({
        "messages", "max_tokens", "system", "metadata", "stop_sequences", "temperature", "top_k", "top_p", "thinking",
        "tools", "tool_choice", "context_management", "output_config", "output_format", "service_tier",
    }),
}  # fmt: skip
"""What a caller may say to LiteLLM. The rest is dropped: it would obey an `api_base`, and send our key there."""

SAMPLING = frozenset({"temperature", "top_p", "top_k"})
"""Anthropic refuses these in a call that thinks."""

RIVALS = (frozenset({"temperature", "top_p"}), frozenset({"max_tokens", "max_completion_tokens"}))
"""Of each of these a call may say one only; the caller's word goes first."""


def filled(dialect: Dialect, body: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body with each default that it does not say itself, that its API has, and that goes with the rest."""
    unwanted = {*body, *(SAMPLING if _thinks(body) else ())}
    for rivals in RIVALS:
        if not rivals.isdisjoint(body):
            unwanted |= rivals
    return {**{key: defaults[key] for key in defaults if key in FIELDS[dialect] - unwanted}, **body}


def _thinks(body: Mapping[str, Any]) -> bool:
    thinking: Any = body.get("thinking")
    return isinstance(thinking, dict) and cast("dict[str, Any]", thinking).get("type") != "disabled"


class WithDefaults:
    """A gateway whose calls say what `models.defaults` says, where the caller says nothing."""

    def __init__(self, gateway: ModelGateway, defaults: Mapping[str, Any]) -> None:
        self.name = gateway.name
        self._gateway = gateway
        self._defaults = defaults

    async def call(
        self, dialect: Dialect, body: Mapping[str, Any], *, task_type: str | None = None, beta: str | None = None
    ) -> Answer:
        """Make one call. Raises ModelError."""
        return await self._gateway.call(dialect, filled(dialect, body, self._defaults), task_type=task_type, beta=beta)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._gateway.aclose()
