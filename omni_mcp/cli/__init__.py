"""The command line: the stdio face by default, and every surface that a person needs."""

# isort: off  # the order is that of --help
from omni_mcp.cli import clients, engine, face, ledger, system, tasks
from omni_mcp.cli.base import app

__all__ = ["app", "clients", "engine", "face", "ledger", "system", "tasks"]
