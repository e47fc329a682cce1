"""Where in servers.yaml which keys may stand, and what there is lost with one that is wrong."""

from collections.abc import Mapping

from pydantic import BaseModel

from omni_mcp.servers_file.direct import DirectRow
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.fault_handler import FaultHandler, Repair
from omni_mcp.servers_file.http import Http, JwtRow, Rate, TokenRow
from omni_mcp.servers_file.limits import Limits
from omni_mcp.servers_file.memory import MemorySettings, MemoryTool
from omni_mcp.servers_file.models import CallDefaults, Gateway, LitellmSettings, Models
from omni_mcp.servers_file.notify import Notify, OpenClawRow, WebhookRow
from omni_mcp.servers_file.routing import Routing, Rule
from omni_mcp.servers_file.schedules import ScheduleRow, ScheduleTask
from omni_mcp.servers_file.webhooks import HookTask, SourceRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.yaml_file import KeyPath

TABLES: Mapping[KeyPath, type[BaseModel]] = {
    (): ServersFile,
    ("executors", "*"): ExecutorRow,
    ("routing",): Routing,
    ("routing", "rules", "*"): Rule,
    ("models",): Models,
    ("models", "gateway"): Gateway,
    ("models", "litellm_settings"): LitellmSettings,
    ("models", "defaults"): CallDefaults,
    ("direct", "*"): DirectRow,
    ("fault_handler",): FaultHandler,
    ("fault_handler", "repair"): Repair,
    ("limits",): Limits,
    ("notify",): Notify,
    ("notify", "webhooks", "*"): WebhookRow,
    ("notify", "openclaw", "*"): OpenClawRow,
    ("webhooks", "*"): SourceRow,
    ("webhooks", "*", "task"): HookTask,
    ("memory",): MemorySettings,
    ("memory", "recall"): MemoryTool,
    ("memory", "add"): MemoryTool,
    ("memory", "prepare", "*"): MemoryTool,
    ("http",): Http,
    ("http", "tokens", "*"): TokenRow,
    ("http", "jwt"): JwtRow,
    ("http", "rate"): Rate,
    ("schedules", "*"): ScheduleRow,
    ("schedules", "*", "task"): ScheduleTask,
}
"""Where in the file which keys may stand."""
_ROWS = (
    ("routing", "rules", "*", "fallback", "*"),
    ("executors", "*"),
    ("routing", "rules", "*"),
    ("models", "model_list", "*"),
    ("models", "gateway"),
    ("direct", "*"),
    ("notify", "webhooks", "*"),
    ("notify", "apprise", "*"),
    ("notify", "openclaw", "*"),
    ("webhooks", "*"),
    ("http", "tokens", "*"),
    ("http", "jwt"),
    ("schedules", "*"),
    ("fault_handler", "repair"),
    ("memory",),
)
"""What is used whole or not at all: a row with a variable that is not set is left out, and the rest works."""


def unit(path: KeyPath) -> KeyPath:
    """Return what a flaw takes away: the row that it is in, else just the key."""
    return next((path[: len(row)] for row in _ROWS if fits(path[: len(row)], row)), path)


def fits(path: KeyPath, pattern: KeyPath) -> bool:
    """Whether a place is one of those that a pattern means, where `*` stands for any name."""
    return len(path) == len(pattern) and all(want in ("*", key) for key, want in zip(path, pattern, strict=True))
