"""The shape of servers.yaml: its sections, rows and keys, each with what it means and what it refuses."""

import re
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from omni_mcp.cron import check, zone_named
from omni_mcp.task import SYSTEM_REPAIR, Recovery
from omni_mcp.this_machine import leads_here

Preset = Literal["assistant", "claude-code", "openclaw", "moltworker", "codex"]
GATEWAYS = ("openclaw", "moltworker")
"""Presets whose tasks run at an OpenClaw gateway."""
Permissions = Literal["read-only", "edit", "full"]
Approvals = Literal["people", "client", "none"]


class _Row(BaseModel):
    # Built when first used: what nobody reads a file with costs no start.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
    )


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
        raise ValueError("the name of a row is one word of letters, digits, _ and -, beginning with a letter")
    return name


def _agent_id(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w-]{0,63}", name, re.ASCII):
        raise ValueError("the id of an agent is one word of letters, digits, _ and -")
    return name


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise ValueError("begins with neither http:// or https:// nor ws:// or wss://")
    return _reachable(url)


def _http(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("begins with neither http:// nor https://")
    return _reachable(url).rstrip("/")


def _reachable(url: str) -> str:
    """Return a URL that names a host, and a port that there can be. What is refused is not cited: it may hold a key."""
    if not _has(url, "hostname"):
        raise ValueError("names no host")
    if not _has(url, "port"):
        raise ValueError("names a port that is no number from 1 to 65535")
    return url


def _has(url: str, part: Literal["hostname", "port"]) -> bool:
    """Whether a part of a URL can be read; a port may be left away."""
    try:
        found = getattr(urlsplit(url), part)
    except ValueError:
        return False
    return bool(found) or (part == "port" and found is None)


def _model_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    params: Any = row.get("litellm_params")
    complete = isinstance(row.get("model_name"), str) and isinstance(params, dict)
    if not complete:
        raise ValueError("needs model_name (a word) and litellm_params (a mapping), as LiteLLM writes them")
    if "model" not in params:
        raise ValueError("needs litellm_params.model, such as anthropic/claude-haiku-4-5")
    return row


def _hook(url: SecretStr) -> SecretStr:
    """Return a URL as it is written: what stands behind its host may be a secret."""
    _http(url.get_secret_value())
    return url


def _signing(secret: SecretStr) -> SecretStr:
    """Return a secret as Standard Webhooks writes them.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    """
    prefix, _, key = secret.get_secret_value().partition("whsec_")
    try:
        size = len(b64decode(key, validate=True))
    except ValueError:
        size = 0
    if prefix or not 24 <= size <= 64:
        raise ValueError(
            'is not whsec_ and 24 to 64 bytes in base64; one is made by: echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret


def _hard(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < 16:
        raise ValueError("has fewer than 16 characters; one is made by: openssl rand -hex 24")
    return token


def _keys(url: str) -> str:
    if not (url.startswith("https://") or leads_here(url)):
        raise ValueError("is not https://: whoever is in between could put keys of their own there")
    return _http(url)


def _host(name: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9.-]{1,253}|\[?[0-9A-Fa-f:]{2,39}\]?", name):
        raise ValueError("is no name of a host, such as omni.example.com: without http:// and without a port")
    return name


def _origin(url: str) -> str:
    if urlsplit(_http(url)).path:
        raise ValueError("is no origin, such as https://tools.example.com: it ends with the host or the port")
    return url.rstrip("/")


def _gateway(url: str) -> str:
    if not url.startswith(("ws://", "wss://")):
        raise ValueError("begins with neither ws:// nor wss://: it is the WebSocket of an OpenClaw gateway")
    return _reachable(url)


def _schema(url: SecretStr) -> SecretStr:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url.get_secret_value()):
        raise ValueError("is no URL of apprise, such as ntfy://topic or mailto://user:password@host")
    try:
        urlsplit(url.get_secret_value())
    except ValueError:
        raise ValueError("cannot be read as a URL: write what is special in it as %XX") from None
    return url


def _command(line: str) -> str:
    if not line.strip() or "\0" in line:
        raise ValueError("is no command: write one as you would type it into a shell")
    return line.strip()


Folder = Annotated[Path, AfterValidator(_absolute)]
File = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, AfterValidator(_plain)]
Url = Annotated[str, AfterValidator(_web)]
Web = Annotated[str, AfterValidator(_http)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
MOST_USD = 1_000_000.0
"""USD; a budget above is a slip of the pen."""
Usd = Annotated[float, Field(gt=0, le=MOST_USD)]
HookUrl = Annotated[SecretStr, AfterValidator(_hook)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signing)]
GatewayUrl = Annotated[str, AfterValidator(_gateway)]
HardToken = Annotated[SecretStr, AfterValidator(_hard)]
AppriseUrl = Annotated[SecretStr, AfterValidator(_schema)]
Command = Annotated[str, AfterValidator(_command)]
KeysUrl = Annotated[str, AfterValidator(_keys)]
HostName = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
ModelRow = Annotated[Mapping[str, Any], AfterValidator(_model_row)]


class ExecutorRow(_Row):
    """One executor, as written in servers.yaml: a preset, or an MCP server by command or url."""

    preset: Preset | None = None
    """An agent that this program brings an adapter for; `codex` is known only to be refused with its reason."""
    command: str | None = None
    """The program that starts the MCP server; of a preset: its agent, if it is not on PATH."""
    args: tuple[str, ...] = ()
    """Arguments of the command."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Variables of its environment, beside PATH, HOME and the like; it sees no others."""
    cwd: Folder | None = None
    """The folder that it is started in; without it the home."""
    url: Url | None = None
    """Where it listens: Streamable HTTP, or the WebSocket of an OpenClaw gateway."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """HTTP headers of each request."""
    token: SecretStr | None = None
    """Sent as a bearer token; the token of an OpenClaw gateway."""
    agent: Annotated[str, AfterValidator(_agent_id)] = "main"
    """Which agent of an OpenClaw gateway works."""
    tool: str | None = None
    """The tool that runs a task; without it the server has to speak the adapter contract."""
    arguments: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """Arguments of the tool, with {description} {memory} {task_id} {attempt} {cwd} {model} filled in."""
    result: str = "text"
    """`text`, `structured`, or a JSON pointer into the structured result."""
    handles: tuple[str, ...] = ()
    """The task types that it takes; without it those of the preset."""
    recovery: Recovery | None = None
    """What follows when its run was cut off; without it that of the preset, else `ask`."""
    parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    """Tasks at a time; without it that of the preset, else 1."""
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    """Seconds that its session may take to open."""
    timeout: Annotated[float, Field(gt=0)] = 3600
    """Seconds that one attempt may take."""
    roots: tuple[Folder, ...] = ()
    """Folders that a `cwd` has to be below."""
    permissions: Permissions = "edit"
    """What Claude Code may do."""
    worktree: bool = False
    """True: Claude Code always works in a git worktree of the repository of the task's `cwd`."""
    max_turns: Annotated[int, Field(ge=1)] | None = None
    """Turns of the model that one run of Claude Code may take."""
    approvals: Approvals = "people"
    """Who may give a permission that it asks for: people, also the `client` that submits tasks, or nobody (`none`)."""
    model: str | None = None
    """The model of its tasks; without it that of `models`."""
    login: Literal["relay", "own"] | None = None
    """Where model calls go: through the engine's relay, or by a login of the executor's own."""
    daily_usd: Usd | None = None
    """USD that its model calls may cost in a day (local midnight to midnight); then its tasks wait."""
    needs_cloud: bool = True
    """False: it works without any model provider, so it goes on while none answers."""
    protocol: Literal["auto", "legacy"] = "auto"
    """`legacy` skips the probe for the newer MCP protocol, which costs 10 s with servers that drop unknown methods."""

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if self.command and self.url:
            raise ValueError("has both command and url: keep one of them")
        if self.preset in GATEWAYS and not self.url:
            raise ValueError(f"needs url (where the {self.preset} gateway listens)")
        if self.preset in GATEWAYS and not (self.url or "").startswith(("ws://", "wss://")):
            raise ValueError(f"the url of a {self.preset} gateway begins with ws:// or wss://")
        if self.preset is None and not (self.command or self.url):
            raise ValueError("needs one of preset, command or url")
        if self.preset is None and self.url and self.url.startswith(("ws://", "wss://")):
            raise ValueError(
                "MCP has no WebSocket transport: use the http(s):// url; for an OpenClaw gateway add `preset: openclaw`"
            )
        return self

    @model_validator(mode="after")
    def _keeps_a_repair_to_its_commands(self) -> Self:
        if SYSTEM_REPAIR in self.handles and self.preset != "claude-code":
            raise ValueError("handles system_repair, which only preset claude-code keeps to the configured commands")
        return self

    @model_validator(mode="after")
    def _keeps_what_it_says(self) -> Self:
        if self.preset != "claude-code" and (self.worktree or self.max_turns is not None):
            named = "worktree" if self.worktree else "max_turns"
            raise ValueError(f"has {named}, which only preset claude-code keeps")
        return self

    @model_validator(mode="after")
    def _is_good_for_something(self) -> Self:
        if self.preset is None and self.tool is None and not self.handles:
            raise ValueError("needs handles (the task types that it takes) or tool (the tool to call)")
        return self


class Rule(_Row):
    """One routing rule; the first that fits wins."""

    executor: str
    """Who takes the task."""
    type: str | None = None
    """The type of a task that it takes, and gives to a text with one of its words."""
    keywords: tuple[str, ...] = ()
    """Words that mean this rule, in any language."""
    builtin_words: bool = False
    """Besides the keywords, use what this package knows of the type (`coding`, `always_on`)."""
    fallback: tuple[str, ...] = ()
    """Executors that take the task, in this order, when the first cannot be used."""

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
    """First match wins; without any those of docs/routing.md."""
    default: str = "assistant"
    """Who takes a task that no rule fits and nobody handles."""

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


class LitellmSettings(_Row):
    """Settings of the litellm module that mean something in this process, under LiteLLM's names."""

    drop_params: bool = True
    """Leave out what a model does not take; false: such a call fails."""
    modify_params: bool = False
    """Let LiteLLM change what a model does not take into what it does."""
    request_timeout: Seconds | None = None
    """Seconds for one route; `router_settings.timeout` goes before it."""
    ssl_verify: bool | str = True
    """Check the certificates of the clouds; or the file with those to trust."""


class CallDefaults(_Row):
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


class Models(_Row):
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


class DirectRow(_Row):
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


def _default_direct() -> dict[str, DirectRow]:
    """Return the plan's two providers; without a backup key neither is in force."""
    return {
        "anthropic": DirectRow(base_url="https://api.anthropic.com", models={"default": "claude-sonnet-4-6"}),
        "openrouter": DirectRow(
            base_url="https://openrouter.ai/api/v1", models={"default": "anthropic/claude-sonnet-4.6"}
        ),
    }


def _with_models(row: Any, plan: DirectRow | None) -> Any:
    if plan is None or not isinstance(row, dict):
        return row  # pyright: ignore[reportUnknownVariableType]
    return {"models": plan.models, **cast("dict[str, Any]", row)}


class Repair(_Row):
    """How LiteLLM may be repaired: one task of type `system_repair` for each outage of it."""

    start: Command | None = None
    """What starts LiteLLM as a process of its own, as a shell takes it; `${NAME}` is the shell's here."""
    restart: Command | None = None
    """Instead of `start`, where somebody else keeps it (compose, systemd): what has it restarted."""
    config: File | None = None
    """LiteLLM's own file: a copy that has served is kept, and put in its place when a new one does not."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Variables that LiteLLM is started with, beside PATH, HOME and the like: the keys of its clouds."""
    commands: Annotated[tuple[Command, ...], Field(min_length=1, max_length=20)] | None = None
    """All that the agent may run where the ladder knows no help; without it there is no agent."""
    cwd: Folder | None = None
    """Where all of these run, and what the agent may read; without it an empty folder."""
    grace: Seconds = 60
    """Seconds that LiteLLM has to answer after a start, and once the repair has ended."""
    per_day: Annotated[int, Field(ge=1, le=24)] = 3
    """Repairs in 24 hours; after that a person has to look."""

    @model_validator(mode="after")
    def _can_do_something(self) -> Self:
        if self.start and self.restart:
            raise ValueError("has both start and restart: keep restart if compose or systemd keeps LiteLLM, else start")
        if not (self.start or self.restart or self.commands):
            raise ValueError("needs start or restart (for the scripted ladder), or commands (for the agent)")
        return self

    @property
    def scripted(self) -> bool:
        """Whether the ladder can bring it back by itself, without any model."""
        return bool(self.start or self.restart)


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
    repair: Repair | None = None
    """How LiteLLM may be repaired; without it nothing is."""


class Limits(_Row):
    """Bounds that hold for every task."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Faults of a task or its executor before it fails; faults of a cloud do not count."""
    max_depth: Annotated[int, Field(ge=0, le=10)] = 2
    """How deep tasks may submit tasks: 1 lets an executor hand on its work, 0 lets none."""
    silent_seconds: Annotated[float, Field(ge=1)] = 180
    """An executor without a sign of life for so long is told of as silent, and only its `timeout` ends it; a model
    call that streams nothing for so long is given up, and its task waits for the cloud."""
    input_seconds: Annotated[float, Field(ge=1)] = 600
    """How long the run of a task is kept while nobody answers its question; then it ends, and the answer resumes it."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """How long tasks that are over are kept; None: until `omni-mcp purge`."""
    daily_usd: Usd | None = None
    """USD that all model calls may cost in a day (local midnight to midnight); then tasks wait."""
    unknown_usd: Annotated[float, Field(ge=0, le=MOST_USD)] = 0
    """USD that a call counts against budgets while its cost is not known; 0: it counts nothing, but is shown."""
    description_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """The longest description, in bytes."""
    engine_idle_seconds: Annotated[float, Field(gt=0)] = 600
    """The background engine ends after this long without an open task."""


class WebhookRow(_Row):
    """A receiver of signed POSTs, as the Standard Webhooks specification has them."""

    url: HookUrl
    """Where it listens; redirects are not followed."""
    secret: SigningSecret
    """What it checks the signature with: `whsec_` and 24 to 64 bytes in base64."""


class OpenClawRow(_Row):
    """A person whom an OpenClaw gateway reaches by one of its channels."""

    url: GatewayUrl = "ws://127.0.0.1:18789"
    """The gateway's WebSocket."""
    token: SecretStr
    """The gateway's token."""
    channel: Annotated[str, Field(min_length=1, max_length=100)]
    """A channel that the gateway has: `telegram`, `slack`, …"""
    to: Annotated[str, Field(min_length=1, max_length=500)]
    """Whom it tells there, as `openclaw message send --target` takes it."""


class Notify(_Row):
    """Who is told of changes of mode and of questions, besides the log and every answer of a tool."""

    desktop: bool = True
    """Notices on the desktop of this machine, where it has one (docs/faults.md)."""
    webhooks: tuple[WebhookRow, ...] = ()
    """Receivers of signed POSTs."""
    apprise: tuple[AppriseUrl, ...] = ()
    """URLs of apprise (`ntfy://topic`, `mailto://…`); needs `pip install "omni-mcp[apprise]"`."""
    openclaw: tuple[OpenClawRow, ...] = ()
    """People whom an OpenClaw gateway reaches, without a model call."""


def _cron(line: str) -> str:
    check(line)
    return " ".join(line.split())


def _zone(name: str) -> str:
    zone_named(name)
    return name


class TaskRow(_Row):
    """A task that is written down before somebody asks for it."""

    description: Annotated[str, Field(min_length=1, max_length=20_000)]
    """What is to be done."""
    type: str | None = None
    """The task type; without it routing reads the description."""
    executor: str | None = None
    """Who takes it; without it routing chooses."""
    model: str | None = None
    """The model; without it that of the executor."""
    cwd: Folder | None = None
    """The folder to work in; without it an own empty one."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher runs first."""
    budget_usd: Usd | None = None
    """USD that it may cost; then it waits."""


class ScheduleTask(TaskRow):
    """The task that a due time becomes."""

    deadline: Annotated[float, Field(ge=1, le=2_592_000)] | None = None
    """Seconds that it may take with all that it waits for; then it fails, and the next run can begin."""
    permissions: Permissions | None = None
    """The most that the run may do; without it what the row of its executor allows."""


class ScheduleRow(_Row):
    """A task again and again, by a cron line. It needs a living engine: `omni-mcp service install` keeps one."""

    cron: Annotated[str, AfterValidator(_cron)]
    """Five fields, as Debian's cron has them: minute, hour, day of the month, month, weekday."""
    timezone: Annotated[str, AfterValidator(_zone)] | None = None
    """The zone of these times, such as `Europe/Berlin`; without it that of this machine."""
    missed: Literal["skip", "once", "all"] = "once"
    """What follows when due times went by while no engine lived: nothing, one run, or one for each (up to `most`)."""
    overlap: Literal["skip", "queue"] = "skip"
    """What follows when the last run is not over: this one is left out, or it waits for its turn (up to `most`)."""
    most: Annotated[int, Field(ge=1, le=100)] = 10
    """The most runs that are made up, or that wait for their turn; the newest due times are kept when making up."""
    enabled: bool = True
    """False: it is never due."""
    task: ScheduleTask
    """The task that a due time becomes."""

    @model_validator(mode="after")
    def _runs_one_after_the_other(self) -> Self:
        if self.missed == "all" and self.overlap == "skip":
            raise ValueError("has missed: all, which needs overlap: queue: a schedule has one run at a time")
        return self


HOOK_VALUES = {
    "openclaw": ("summary", "error", "status", "job", "job_id", "session"),
    "standard": ("event", "id"),
    "github": ("event", "id"),
}
"""What the description of a task may name, by the kind of its source."""


class HookTask(TaskRow):
    """The task that a delivery becomes."""

    description: Annotated[str, Field(min_length=1, max_length=20_000)]
    """What is to be done. Put in, each cut to a limit: {/json/pointer} of the payload, {event} and {id}; of OpenClaw
    {summary} {error} {status} {job} {job_id} {session}."""
    permissions: Permissions = "read-only"
    """The most that the run may do; who cannot keep to it (a foreign tool, OpenClaw) takes it only with `full`."""


class SourceRow(_Row):
    """A sender whose deliveries become tasks: `POST /hooks/NAME` of `omni-mcp serve`."""

    kind: Literal["openclaw", "standard", "github"]
    """What it speaks: the webhook of an OpenClaw cron job, Standard Webhooks, or GitHub's webhooks."""
    token: HardToken | None = None
    """Of `openclaw`: the bearer token that it sends, of at least 16 characters."""
    secret: HardToken | None = None
    """Of the others: what it signs with; of `standard` `whsec_` and 24 to 64 bytes in base64."""
    statuses: Annotated[tuple[Literal["ok", "error", "skipped"], ...], Field(min_length=1)] = ("ok",)
    """Of `openclaw`: runs that become tasks, by how they ended."""
    events: tuple[str, ...] = ()
    """Of the others: events that become tasks, such as `push`, `issues.opened` (GitHub) or the `type` of a payload;
    without any all."""
    per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    """Deliveries that are taken in a minute; what is more is told to come again."""
    task: HookTask
    """The task that a delivery becomes."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed, other = ("token", "secret") if self.kind == "openclaw" else ("secret", "token")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"of kind {self.kind} needs {needed}, and has no {other}")
        if self.kind == "openclaw" and self.events:
            raise ValueError("of kind openclaw has events: it tells of one only, and statuses says which")
        if self.kind != "openclaw" and "statuses" in self.model_fields_set:
            raise ValueError(f"of kind {self.kind} has statuses: events says which become tasks")
        if self.kind == "standard" and self.secret is not None:
            _signing(self.secret)
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        known = HOOK_VALUES[self.kind]
        if unknown := [name for name in re.findall(r"\{(\w+)\}", self.task.description) if name not in known]:
            raise ValueError(
                f"has a description that names {unknown[0][:40]!r}; there are: {', '.join(known)}, and /json/pointers"
            )
        return self

    def takes(self, event: str) -> bool:
        """Whether such an event becomes a task; `issues` takes each `issues.…`. GitHub's ping is only a greeting."""
        if self.kind == "openclaw":
            return event in self.statuses
        if not self.events:
            return (self.kind, event) != ("github", "ping")
        return event in self.events or event.partition(".")[0] in self.events


def _default_executors() -> dict[str, ExecutorRow]:
    return {
        "claude_code": ExecutorRow(preset="claude-code", handles=("coding", SYSTEM_REPAIR)),
        "assistant": ExecutorRow(preset="assistant", handles=("general",)),
    }


Scope = Literal["tasks:read", "tasks:write", "metrics:read", "admin"]
"""What a token lets its bearer do."""
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""https://www.rfc-editor.org/rfc/rfc7518#section-3.1, those of them with a key pair."""


class TokenRow(_Row):
    """Who may call `omni-mcp serve` with which token; the name of the row is whose tasks they are."""

    token: HardToken
    """`${NAME}` of a variable, never the token itself; at least 16 characters."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = ("tasks:read", "tasks:write")
    """What it lets its bearer do; `admin` includes the others, for the tasks of everybody."""


class JwtRow(_Row):
    """Tokens that an identity provider signs (RFC 7519): `sub` says whose the tasks are, `scope` or `scp` what is let.

    One without `sub` or `exp` is refused.
    """

    issuer: Annotated[str, Field(min_length=1)]
    """The `iss` that a token has to have."""
    audience: Annotated[str, Field(min_length=1)]
    """The `aud` that a token has to have: one for another service is none for us."""
    jwks_uri: KeysUrl | None = None
    """Where the issuer publishes its keys: `https://`, or on this machine."""
    public_key: SecretStr | None = None
    """Its one key in PEM, instead of `jwks_uri`."""
    algorithm: Algorithm = "RS256"
    """How it signs; a secret that both sides know (HS256) is not offered: who can check such tokens can make them."""

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.jwks_uri is None) == (self.public_key is None):
            raise ValueError("needs one of jwks_uri and public_key")
        return self


class Rate(_Row):
    """How often each principal may ask; with tokens only."""

    per_second: Annotated[float, Field(gt=0, le=100_000)] = 20
    """Requests a second that it may make for long."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Requests that it may make at once after a pause."""


class Http(_Row):
    """Who may call `omni-mcp serve`, and how much."""

    tokens: Mapping[Name, TokenRow] = Field(default_factory=dict[str, TokenRow])
    """Bearer tokens, by whose they are; without any, and without `jwt`, only loopback is served, and all are one."""
    jwt: JwtRow | None = None
    """Tokens of an identity provider, beside those or instead."""
    hosts: tuple[HostName, ...] = ()
    """Names by which clients reach it (the `Host` header), besides its addresses; `*.example.com` fits all below."""
    origins: tuple[Origin, ...] = ()
    """Web pages that may call it from a browser (the `Origin` header), besides its own."""
    url: Origin | None = None
    """Where clients of `jwt` reach it (RFC 9728), unless by `https://` and the first of `hosts`."""
    rate: Rate = Rate()
    """How often each principal may ask."""
    connections: Annotated[int, Field(ge=10, le=100_000)] = 2000
    """Requests under way at a time, streams among them; those above get 503, and when to come again."""

    @model_validator(mode="after")
    def _tells_apart(self) -> Self:
        known: dict[str, str] = {}
        for name, row in self.tokens.items():
            if (other := known.setdefault(row.token.get_secret_value(), name)) != name:
                raise ValueError(f"gives {other} and {name} the same token: nobody could say whose a task is")
        return self

    @property
    def guarded(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.tokens) or self.jwt is not None

    @property
    def public_url(self) -> str | None:
        """Where clients reach it, as far as this says; TLS is the business of a proxy before us."""
        named = [f"https://{name}" for name in self.hosts if not name.startswith("*.")]
        return self.url or next(iter(named), None)


class MemoryTool(_Row):
    """A tool of a memory server, and how its answer is read."""

    tool: str
    """Its name."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """Its arguments, with {scope} {task_id} {text} {word} {memory} filled in; with {word} it is asked word by word."""
    result: str = ""
    """Of `recall`: a JSON pointer to the list of what was found."""
    text: str = ""
    """Of `recall`: a JSON pointer to the text within one of that list; empty: all of it."""
    refusal: str | None = None
    """An answer that begins so says that it did not work: some servers call nothing an error."""


class MemorySettings(_Row):
    """What completed tasks leave for the tasks after them, and where that is kept; docs/memory.md."""

    kind: Literal["embedded", "server-memory", "memos", "mcp", "none"] = "none"
    """`embedded`: in the ledger; `server-memory`, `memos`: those MCP servers; `mcp`: any other that `recall` and `add`
    describe; `none`: nothing is remembered or recalled."""
    most: Annotated[int, Field(ge=1, le=20)] = 5
    """Memories that a task is told of."""
    timeout: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Seconds that recalling may take; then the task goes on without."""
    command: str | None = None
    """The program that starts the MCP server; of `server-memory` without it npx fetches that."""
    args: tuple[str, ...] = ()
    """Arguments of the command."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Variables of its environment, beside PATH, HOME and the like; it sees no others."""
    url: Web | None = None
    """Where it listens: Streamable HTTP."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """HTTP headers of each request."""
    token: SecretStr | None = None
    """Sent as a bearer token."""
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    """Seconds that its session may take to open; tasks do not wait for that."""
    recall: MemoryTool | None = None
    """Of `mcp`: the tool that finds memories."""
    add: MemoryTool | None = None
    """Of `mcp`: the tool that takes one; they come one at a time."""
    prepare: tuple[MemoryTool, ...] = ()
    """Of `mcp`: tools that are called before a {scope} is first used; what they refuse is not looked at."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.command and self.url:
            raise ValueError("has both command and url: keep one of them")
        named = next((name for name in ("command", "url", "recall", "add") if getattr(self, name)), None)
        if self.kind in ("embedded", "none") and named:
            raise ValueError(f"has {named}, which only a kind with a server has: server-memory, memos, mcp")
        if self.kind in ("memos", "mcp") and not (self.command or self.url):
            raise ValueError(f"of kind {self.kind} needs url or command: where its MCP server is")
        return self

    @model_validator(mode="after")
    def _has_its_tools(self) -> Self:
        if self.kind == "mcp" and (self.recall is None or self.add is None):
            raise ValueError("of kind mcp needs recall and add: docs/memory.md has an example")
        if self.kind in ("server-memory", "memos") and (self.recall or self.add or self.prepare):
            raise ValueError(f"of kind {self.kind} has its tools already: for others write kind: mcp")
        return self


class ServersFile(_Row):
    """servers.yaml."""

    executors: Mapping[Name, ExecutorRow] = Field(default_factory=_default_executors)
    """Who runs tasks, by name; without it `claude_code` and `assistant`."""
    routing: Routing = Routing()
    """Who gets what."""
    models: Models = Models()
    """What serves model calls."""
    direct: Mapping[Name, DirectRow] = Field(default_factory=_default_direct)
    """Providers that are called directly while LiteLLM is broken; without it `anthropic` and `openrouter`."""
    github_key: SecretStr | None = None
    """The plan's one backup key: of every direct row that names none; else GITHUB_LITELLM_KEY of the environment."""
    fault_handler: FaultHandler = FaultHandler()
    """When the mode changes."""
    limits: Limits = Limits()
    """Bounds that hold for every task."""
    notify: Notify = Notify()
    """Who is told of changes of mode and of questions."""
    webhooks: Mapping[Name, SourceRow] = Field(default_factory=dict[str, SourceRow])
    """Senders whose deliveries become tasks, by name."""
    schedules: Mapping[Name, ScheduleRow] = Field(default_factory=dict[str, ScheduleRow])
    """Tasks again and again, by name; docs/schedules.md."""
    memory: MemorySettings = MemorySettings()
    """What completed tasks leave for the tasks after them; docs/memory.md."""
    http: Http = Http()
    """Who may call `omni-mcp serve`, and how much; read at its start: `hosts`, `origins`, `connections`."""
    log_format: Literal["text", "json"] = "text"
    """How engine and `serve` log, from their next start on; the variable OMNI_LOG goes before it."""

    @property
    def scheduled(self) -> Mapping[str, ScheduleRow]:
        """The schedules that are enabled."""
        return {name: row for name, row in self.schedules.items() if row.enabled}

    @field_validator("direct", mode="before")
    @classmethod
    def _with_the_models_of_the_plan(cls, rows: Any) -> Any:
        """Give a row that has the name of one of the plan's providers, but no models, those of the plan."""
        if not isinstance(rows, dict):
            return rows
        plan = _default_direct()
        return {name: _with_models(row, plan.get(name)) for name, row in cast("dict[str, Any]", rows).items()}
