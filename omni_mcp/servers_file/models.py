"""`models`: what serves model calls."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Seconds, Usd, Web


def _model_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    params: Any = row.get("litellm_params")
    complete = isinstance(row.get("model_name"), str) and isinstance(params, dict)
    if not complete:
        raise ValueError("needs model_name (a word) and litellm_params (a mapping), as LiteLLM writes them")
    if "model" not in params:
        raise ValueError("needs litellm_params.model, such as anthropic/claude-haiku-4-5")
    return row


ModelRow = Annotated[Mapping[str, Any], AfterValidator(_model_row)]


class Gateway(Row):
    """A LiteLLM proxy: the user's own router, which stays as it is."""

    base_url: Web
    """Without `/v1`: `http://localhost:4000`."""
    api_key: SecretStr | None = None
    """Its master key, or a virtual key."""
    use: Mapping[str, str] = Field(default_factory=dict, alias="for")
    """Task type -> virtual model name; `default` for the rest."""


CODE = frozenset({
    "callbacks", "success_callback", "failure_callback", "service_callback", "audit_log_callbacks", "post_call_rules",
    "custom_provider_map", "guardrails",
})  # fmt: skip
"""Settings of a LiteLLM proxy that load somebody's code into it."""
PRINTS = frozenset({"set_verbose", "json_logs", "log_raw_request_response"})
"""Settings with which LiteLLM prints prompts, to where in this process MCP talks."""


class LitellmSettings(Row):
    """Settings of the litellm module that mean something in this process, under LiteLLM's names."""

    drop_params: bool = True
    """Leave out what a model does not take; false: such a call fails."""
    modify_params: bool = False
    """Let LiteLLM change what a model does not take into what it does."""
    request_timeout: Seconds | None = None
    """Seconds for one route; `router_settings.timeout` goes before it."""
    ssl_verify: bool | str = True
    """Check the certificates of the clouds; or the file with those to trust."""


class CallDefaults(Row):
    """Fields of each model call that does not say them itself, where the caller's API has them."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """As `top_p` and `top_k`: never in a call with `thinking`, which Anthropic would refuse."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Words of this much probability are chosen from."""
    top_k: Annotated[int, Field(ge=1)] | None = None
    """So many words are chosen from; Anthropic's API only."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """The longest answer, in tokens."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """The same by OpenAI's newer name."""
    stop: str | tuple[str, ...] | None = None
    """Text that ends an answer; OpenAI's API only."""
    seed: int | None = None
    """Makes answers repeatable where the cloud can."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Against words that were said."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Against words that were said often."""
    reasoning_effort: str | None = None
    """How much a model may think: `low`, `medium`, `high`."""

    @property
    def said(self) -> Mapping[str, Any]:
        """What the file says."""
        return self.model_dump(exclude_none=True)


class Models(Row):
    """What serves model calls: a LiteLLM proxy (`gateway`), or LiteLLM's Router in process (`model_list`)."""

    gateway: Gateway | None = None
    """A LiteLLM proxy; then there is no `model_list`."""
    model_list: tuple[ModelRow, ...] = Field(default=(), repr=False)
    """Exactly as LiteLLM writes it, handed to its Router as it stands."""
    router_settings: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """Settings of LiteLLM's Router (`timeout`, `fallbacks`); retries are always off."""
    litellm_settings: LitellmSettings = LitellmSettings()
    """Settings of the litellm module, as its proxy takes them (`drop_params`)."""
    defaults: CallDefaults = CallDefaults()
    """Fields of each model call that does not name them itself (`temperature`)."""
    use: Mapping[str, str] = Field(default_factory=dict, alias="for")
    """Task type -> model name; `default` for the rest."""
    daily_usd: Mapping[str, Usd] = Field(default_factory=dict)
    """Model name, as tasks ask for it -> USD that its calls may cost in a day; then they wait."""

    @model_validator(mode="after")
    def _has_one_server(self) -> Self:
        if self.gateway is not None and self.model_list:
            raise ValueError("has both gateway and model_list: keep the one that shall serve the calls")
        return self

    @field_validator("router_settings", "litellm_settings")
    @classmethod
    def _is_not_the_proxys(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("gateway") is not None:
            raise ValueError("does nothing beside gateway: it belongs into the configuration of the proxy itself")
        return value

    @property
    def configured(self) -> bool:
        """Whether anything serves model calls."""
        return self.gateway is not None or bool(self.model_list)

    def model_for(self, task_type: str | None) -> str | None:
        """Return the model name for a task type: its own, else `default`, else the first of `model_list`."""
        use = {**self.use, **(self.gateway.use if self.gateway else {})}
        if chosen := use.get(task_type or "default") or use.get("default"):
            return chosen
        return str(self.model_list[0]["model_name"]) if self.model_list else None
