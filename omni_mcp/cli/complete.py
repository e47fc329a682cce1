"""What the shell offers to complete a line with. Reads only; where it cannot, it offers nothing and says nothing."""

import sqlite3
from collections.abc import Callable, Iterator

from omni_mcp.clients.catalog import CLIENTS
from omni_mcp.errors import OmniError
from omni_mcp.home import Home
from omni_mcp.ledger.glance import glance
from omni_mcp.ledger.opened import the_file
from omni_mcp.settings import Settings, load

Offers = list[tuple[str, str]]
"""Each with what some shells show beside it."""
TASKS = 50
"""Tasks offered at most."""
TITLE = 60
"""Characters of a task's text that are shown."""


def _quietly(offers: Callable[[], Iterator[tuple[str, str]]]) -> Callable[[str], Offers]:
    """Return a completer: what fits the beginning of the word, nothing if it cannot be known."""

    def complete(incomplete: str) -> Offers:
        try:
            return [offer for offer in offers() if offer[0].startswith(incomplete)]
        except (OmniError, OSError, sqlite3.Error):
            return []

    return complete


def _tasks(*, only_open: bool) -> Iterator[tuple[str, str]]:
    for task in glance(the_file(Home.locate()), only_open=only_open, limit=TASKS):
        yield task.task_id, f"{task.state}: {' '.join(task.title.split())[:TITLE]}"


def _executors() -> Iterator[tuple[str, str]]:
    for name, row in _settings().servers.executors.items():
        yield name, ", ".join(row.handles)


def _types() -> Iterator[tuple[str, str]]:
    servers = _settings().servers
    handled = {kind: name for name, row in servers.executors.items() for kind in row.handles}
    ruled = {rule.type: rule.executor for rule in reversed(servers.routing.rules) if rule.type is not None}
    yield from ((kind, f"→ {name}") for kind, name in {**handled, **ruled}.items())


def _schedules() -> Iterator[tuple[str, str]]:
    for name, row in _settings().servers.schedules.items():
        yield name, row.cron


def _settings() -> Settings:
    return load(Home.locate())


tasks = _quietly(lambda: _tasks(only_open=False))
open_tasks = _quietly(lambda: _tasks(only_open=True))
executors = _quietly(_executors)
types = _quietly(_types)
schedules = _quietly(_schedules)
clients = _quietly(lambda: iter([(name, client.title) for name, client in CLIENTS.items()]))
