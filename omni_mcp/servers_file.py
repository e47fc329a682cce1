"""The shape of servers.yaml: its sections, rows and keys, each with what it means and what it refuses."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from omni_mcp.task import Recovery

Preset = Literal["assistant", "claude-code", "openclaw", "moltworker", "codex"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


def _absolute(path: Path) -> Path:
    try:
        full = path.expanduser()
    except RuntimeError as error:
        raise ValueError("names a user that does not exist") from error
    if not full.is_absolute():
        raise ValueError("is not absolute: begin it with / or ~")
    return full


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w{0,63}", name.replace("-", "_"), re.ASCII):
        raise ValueError("the name of an executor is one word of letters, digits, _ and -, beginning with a letter")
    return name


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise ValueError("begins with neither http:// or https:// nor ws:// or wss://")
    return url


def _http(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("begins with neither http:// nor https://")
    return url.rstrip("/")


def _model_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    complete = isinstance(row.get("model_name"), str) and isinstance(row.get("litellm_params"), dict)
    if not complete:
        raise ValueError("needs model_name (a word) and litellm_params (a mapping), as LiteLLM writes them")
    return row


Folder = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, AfterValidator(_plain)]
Url = Annotated[str, AfterValidator(_web)]
Web = Annotated[str, AfterValidator(_http)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
ModelRow = Annotated[Mapping[str, Any], AfterValidator(_model_row)]


class ExecutorRow(_Row):
    """One executor, as written in servers.yaml: a preset, or an MCP server by command or url."""

    preset: Preset | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    cwd: Folder | None = None
    url: Url | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    token: SecretStr | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    result: str = "text"
    """`text`, `structured`, or a JSON pointer into the structured result."""
    handles: tuple[str, ...] = ()
    recovery: Recovery | None = None
    parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    """Seconds that its session may take to open."""
    timeout: Annotated[float, Field(gt=0)] = 3600
    """Seconds that one attempt may take."""
    roots: tuple[Folder, ...] = ()
    """Folders that a `cwd` has to be below."""
    permissions: Literal["read-only", "edit", "full"] = "edit"
    model: str | None = None
    login: Literal["relay", "own"] | None = None
    """Where model calls go: through the engine's relay, or by a login of the executor's own."""
    protocol: Literal["auto", "legacy"] = "auto"
    """`legacy` skips the probe for the newer MCP protocol, which costs 10 s with servers that drop unknown methods."""

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if self.command and self.url:
            raise ValueError("has both command and url: keep one of them")
        if self.preset in ("openclaw", "moltworker") and not self.url:
            raise ValueError(f"needs url (where the {self.preset} gateway listens)")
        if self.preset is None and not (self.command or self.url):
            raise ValueError("needs one of preset, command or url")
        return self

    @model_validator(mode="after")
    def _is_good_for_something(self) -> Self:
        if self.preset is None and self.tool is None and not self.handles:
            raise ValueError("needs handles (the task types that it takes) or tool (the tool to call)")
        return self


class Rule(_Row):
    """One routing rule; the first that fits wins."""

    executor: str
    type: str | None = None
    keywords: tuple[str, ...] = ()
    builtin_words: bool = False
    """Besides the keywords, use what this package knows of the type (`coding`, `always_on`)."""
    fallback: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _knows_words(self) -> Self:
        if self.builtin_words and self.type not in ("coding", "always_on"):
            raise ValueError("has builtin_words, which there are only for type coding and type always_on")
        return self


PLAN_KEYWORDS = ("代码", "编程", "函数", "写", "python", "js", "java", "rust", "go")
"""The nine words of the plan that mean coding."""

PLAN_RULES = (
    Rule(type="always_on", builtin_words=True, executor="moltworker", fallback=("openclaw", "assistant")),
    Rule(type="coding", keywords=PLAN_KEYWORDS, builtin_words=True, executor="claude_code", fallback=("assistant",)),
    Rule(type="general", executor="openclaw", fallback=("assistant",)),
)


class Routing(_Row):
    """Who gets what."""

    rules: tuple[Rule, ...] = PLAN_RULES
    default: str = "assistant"

    @property
    def in_force(self) -> tuple[Rule, ...]:
        """The rules of the file; without any the plan's, whose last resort is the default of the file."""
        if "rules" in self.model_fields_set:
            return self.rules
        return tuple(rule.model_copy(update={"fallback": (*rule.fallback, self.default)}) for rule in PLAN_RULES)


class Gateway(_Row):
    """A LiteLLM proxy: the user's own router, which stays as it is."""

    base_url: Web
    """Without `/v1`: `http://localhost:4000`."""
    api_key: SecretStr | None = None
    use: Mapping[str, str] = Field(default_factory=dict, alias="for")
    """Task type -> virtual model name; `default` for the rest."""


class Models(_Row):
    """What serves model calls: a LiteLLM proxy (`gateway`), or LiteLLM's Router in process (`model_list`)."""

    gateway: Gateway | None = None
    model_list: tuple[ModelRow, ...] = Field(default=(), repr=False)
    """Exactly as LiteLLM writes it, handed to its Router as it stands."""
    router_settings: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    litellm_settings: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """Settings of the litellm module, as its proxy takes them (`drop_params`)."""
    defaults: Mapping[str, Any] = Field(default_factory=dict)
    """Fields of each model call that does not name them itself (`temperature`)."""
    use: Mapping[str, str] = Field(default_factory=dict, alias="for")
    """Task type -> model name; `default` for the rest."""

    @model_validator(mode="after")
    def _has_one_server(self) -> Self:
        if self.gateway is not None and self.model_list:
            raise ValueError("has both gateway and model_list: keep the one that shall serve the calls")
        return self

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


class DirectRow(_Row):
    """A provider's own API: where model calls go while LiteLLM is broken."""

    base_url: Web
    dialect: Literal["anthropic", "openai"] | None = None
    """The wire format; None: `anthropic` for the row of that name, else `openai`."""
    key: SecretStr | None = None
    """None: `github_key`, the one backup key."""
    models: Mapping[str, str] = Field(default_factory=dict)
    """Task type -> the provider's model name; `default` for the rest."""

    def model_for(self, task_type: str | None) -> str | None:
        """Return the model name for a task type: its own, else `default`, else the first one."""
        chosen = self.models.get(task_type or "default") or self.models.get("default")
        return chosen or next(iter(self.models.values()), None)


def _default_direct() -> dict[str, DirectRow]:
    """Return the plan's two providers; without a backup key neither is in force."""
    return {
        "anthropic": DirectRow(base_url="https://api.anthropic.com", models={"default": "claude-sonnet-4-6"}),
        "openrouter": DirectRow(
            base_url="https://openrouter.ai/api/v1", models={"default": "anthropic/claude-sonnet-4.6"}
        ),
    }


class FaultHandler(_Row):
    """When the mode changes; the first four are the plan's. Times are in seconds."""

    lite_llm_timeout: Seconds = 1.0
    """For one probe of LiteLLM."""
    consecutive_failures: Annotated[int, Field(ge=1, le=100)] = 2
    """Failures that make LiteLLM count as broken."""
    check_interval: Seconds = 30
    """Between two probes, give or take a tenth."""
    cloud_check_timeout: Seconds = 10
    """For one probe of a provider."""
    confirm_delay: Seconds = 2
    """From a first failed probe to the one that confirms it."""
    confirm_timeout: Seconds = 3
    """For the probe that confirms: slow is not broken."""
    success_memory: Seconds = 10
    """A real call that succeeded within this clears a failure."""
    recover_successes: Annotated[int, Field(ge=1, le=100)] = 2
    """Successes that make LiteLLM count as mended."""
    min_dwell: Seconds = 60
    """The shortest stay in degraded; doubles with each relapse."""
    max_dwell: Seconds = 600
    """The longest that it doubles to."""
    recover_rounds: Annotated[int, Field(ge=1, le=100)] = 3
    """Rounds with an answering cloud that end brainstem."""
    recover_spacing: Seconds = 5
    """Between two of these rounds."""


class Limits(_Row):
    """Bounds that hold for every task."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    max_depth: Annotated[int, Field(ge=0, le=10)] = 2
    """How deep tasks may submit tasks: 1 lets an executor hand on its work, 0 lets none."""
    silent_seconds: Annotated[float, Field(ge=1)] = 180
    """An executor that gives no sign of life for so long is told of as silent; only its `timeout` ends it."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """How long tasks that are over are kept; None: until `omni-mcp purge`."""
    description_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    engine_idle_seconds: Annotated[float, Field(gt=0)] = 600


def _default_executors() -> dict[str, ExecutorRow]:
    return {
        "claude_code": ExecutorRow(preset="claude-code", handles=("coding",)),
        "assistant": ExecutorRow(preset="assistant", handles=("general",)),
    }


class ServersFile(_Row):
    """servers.yaml."""

    executors: Mapping[Name, ExecutorRow] = Field(default_factory=_default_executors)
    routing: Routing = Routing()
    models: Models = Models()
    direct: Mapping[Name, DirectRow] = Field(default_factory=_default_direct)
    github_key: SecretStr | None = None
    """The plan's one backup key: of every direct row that names none; else GITHUB_LITELLM_KEY of the environment."""
    fault_handler: FaultHandler = FaultHandler()
    limits: Limits = Limits()
