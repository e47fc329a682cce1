"""`direct`: the providers that are called directly while LiteLLM is broken."""

from collections.abc import Mapping
from typing import Any, Literal, Self, cast

from pydantic import Field, SecretStr, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Web


class DirectRow(Row):
    """A provider's own API: where model calls go while LiteLLM is broken."""

    base_url: Web
    """With `/v1` for the `openai` dialect, without it for `anthropic`."""
    dialect: Literal["anthropic", "openai"] | None = None
    """The wire format; None: `anthropic` for the row of that name, else `openai`."""
    key: SecretStr | None = None
    """None: `github_key`, the one backup key."""
    models: Mapping[str, str] = Field(default_factory=dict)
    """Task type -> the provider's model name; `default` for the rest. `anthropic` and `openrouter` need none."""

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if not self.models:
            raise ValueError("needs models: task type -> the provider's model name, such as {default: its-model}")
        return self

    def model_for(self, task_type: str | None) -> str:
        """Return the model name for a task type: its own, else `default`, else the first one."""
        chosen = self.models.get(task_type or "default") or self.models.get("default")
        return chosen or next(iter(self.models.values()))


def dialect_of(name: str, row: DirectRow) -> Literal["anthropic", "openai"]:
    """Return the wire format of a provider: what its row says, else by its name."""
    return row.dialect or ("anthropic" if name == "anthropic" else "openai")


def default_direct() -> dict[str, DirectRow]:
    """Return the plan's two providers; without a backup key neither is in force."""
    return {
        "anthropic": DirectRow(base_url="https://api.anthropic.com", models={"default": "claude-sonnet-4-6"}),
        "openrouter": DirectRow(
            base_url="https://openrouter.ai/api/v1", models={"default": "anthropic/claude-sonnet-4.6"}
        ),
    }


def with_models(row: Any, plan: DirectRow | None) -> Any:
    """Return a row of the file with the models that the plan has for it, unless it has its own."""
    if plan is None or not isinstance(row, dict):
        return row  # pyright: ignore[reportUnknownVariableType]
    return {"models": plan.models, **cast("dict[str, Any]", row)}
