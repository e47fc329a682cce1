"""`executors`: who runs tasks."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Folder, Url, Usd
from omni_mcp.task import SYSTEM_REPAIR, Recovery

Preset = Literal["assistant", "claude-code", "openclaw", "moltworker", "codex"]
GATEWAYS = ("openclaw", "moltworker")
"""Presets whose tasks run at an OpenClaw gateway."""
Permissions = Literal["read-only", "edit", "full"]
Approvals = Literal["people", "client", "none"]


def _agent_id(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w-]{0,63}", name, re.ASCII):
        raise ValueError("the id of an agent is one word of letters, digits, _ and -")
    return name


class ExecutorRow(Row):
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


def default_executors() -> dict[str, ExecutorRow]:
    """Return who runs tasks where the file names nobody."""
    return {
        "claude_code": ExecutorRow(preset="claude-code", handles=("coding", SYSTEM_REPAIR)),
        "assistant": ExecutorRow(preset="assistant", handles=("general",)),
    }
