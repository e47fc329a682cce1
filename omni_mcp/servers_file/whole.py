"""servers.yaml as a whole: its sections."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field, SecretStr, field_validator

from omni_mcp.servers_file.direct import DirectRow, default_direct, with_models
from omni_mcp.servers_file.executors import ExecutorRow, default_executors
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.servers_file.http import Http
from omni_mcp.servers_file.limits import Limits
from omni_mcp.servers_file.memory import MemorySettings
from omni_mcp.servers_file.models import Models
from omni_mcp.servers_file.notify import Notify
from omni_mcp.servers_file.routing import Routing
from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.servers_file.values import Name
from omni_mcp.servers_file.webhooks import SourceRow


class ServersFile(Row):
    """servers.yaml."""

    executors: Mapping[Name, ExecutorRow] = Field(default_factory=default_executors)
    """Who runs tasks, by name; without it `claude_code` and `assistant`."""
    routing: Routing = Routing()
    """Who gets what."""
    models: Models = Models()
    """What serves model calls."""
    direct: Mapping[Name, DirectRow] = Field(default_factory=default_direct)
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
        plan = default_direct()
        return {name: with_models(row, plan.get(name)) for name, row in cast("dict[str, Any]", rows).items()}
