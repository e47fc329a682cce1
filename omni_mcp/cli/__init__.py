"""The command line: the stdio face by default, and every surface that a person needs."""

# The order is that of --help.
# isort: off
from omni_mcp.cli import (
    face,
    init,
    tasks,
    answer,
    dashboard,
    costs,
    system,
    schedule,
    memory,
    notify,
    doctor,
    layers,
    engine,
    service,
    ledger,
    clients,
)
from omni_mcp.cli.base import app

__all__ = [
    "answer",
    "app",
    "clients",
    "costs",
    "dashboard",
    "doctor",
    "engine",
    "face",
    "init",
    "layers",
    "ledger",
    "memory",
    "notify",
    "schedule",
    "service",
    "system",
    "tasks",
]
