"""Servers as the plan, LiteLLM and MCP clients write them, as our executors."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import urlsplit

from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.task import SYSTEM_REPAIR
from omni_mcp.translate.draft import Draft, nearest
from omni_mcp.yaml_file import KeyPath

Row = Mapping[str, Any]

ALWAYS: Mapping[str, Row] = {
    "claude_code": {"preset": "claude-code", "handles": ["coding", SYSTEM_REPAIR]},
    "assistant": {"preset": "assistant", "handles": ["general"]},
}
"""What holds without a file, too."""

NAMES: Mapping[str, str] = {"claude-code": "claude_code", "openclaw": "openclaw", "moltworker": "moltworker"}
"""What the rules of the plan call an agent, by its preset."""

URLS = ("url", "httpUrl", "serverUrl")
"""What clients call the address of a server."""
SILENT = frozenset({"name", "description", "type", "transport", *URLS})
"""Keys that say nothing which an executor needs."""
UNLIKE = frozenset({"timeout", "env", "headers", "args"})
"""Keys of ours that are not what a strange key was meant for, or mean something else in a client."""

_OPENCLAW_PORT = 18789
_ENV = re.compile(r"\$\{env:(\w+)\}", re.ASCII)


def executors_of(servers: Any, origin: KeyPath, draft: Draft) -> None:
    """Write the executors into the draft, and those that hold without a file beside them."""
    draft.put(("executors",), {}, origin=origin)
    if not isinstance(servers, Mapping):
        draft.put(("executors",), servers, origin=origin)
        return
    for name, row in cast("Row", servers).items():
        _executor(name, row, (*origin, name), draft)
    added = [name for name in ALWAYS if name not in draft.tree["executors"]]
    for name in added:
        draft.put(("executors", name), dict(ALWAYS[name]))
    if added:
        draft.note(origin, f"added: {', '.join(added)}", "they take coding and general tasks, as without a file")


def _executor(name: str, row: Any, origin: KeyPath, draft: Draft) -> None:
    if not isinstance(row, Mapping):
        draft.put(("executors", name), row, origin=origin)
        return
    row = cast("Row", row)
    if why := _unwanted(row):
        draft.note(origin, "left out", why)
        return
    agent = _agent(name, row)
    called = _free_name(NAMES[agent["preset"]] if agent else name, origin, draft)
    draft.put(("executors", called), agent or _server(called, row, origin, draft), origin=origin)
    if agent:
        draft.note(origin, f"preset: {agent['preset']}", "a server of this kind is an agent: its adapter drives it")
    elif _url(row) == "stdio":
        fix = "replace it by command and args: what starts the server"
        draft.flaw(("executors", called, "url"), "stdio names no program", fix)


def _free_name(name: str, origin: KeyPath, draft: Draft) -> str:
    """Return a name that an executor may have and none has."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name).strip("_-")[:60] or "server"
    plain = plain if plain[0].isalpha() else f"s_{plain}"
    taken = draft.tree["executors"]
    free = plain if plain not in taken else next(f"{plain}_{n}" for n in range(2, 999) if f"{plain}_{n}" not in taken)
    if free != origin[-1]:
        draft.note(origin, f"is called {free}", "by that name the rules of routing know it, or may")
    return free


def _unwanted(row: Row) -> str | None:
    if row.get("disabled") is True or row.get("enabled") is False:
        return "it is disabled there"
    words = [str(row.get("command", "")), *map(str, row.get("args") or ())]
    if any(PurePath(word).name in ("omni-mcp", "omni_mcp") for word in words):
        return "this is we ourselves: a task would be handed round in a circle"
    return None


def _url(row: Row) -> str | None:
    return next((str(row[key]) for key in URLS if row.get(key)), None)


def _agent(name: str, row: Row) -> dict[str, Any] | None:
    """Return the row of an agent that a preset serves, by its name, address or command."""
    url, called = _url(row) or "", name.lower().replace("-", "_")
    more = {key: row[key] for key in ("token", "headers") if key in row}
    if url.startswith(("ws://", "wss://")):
        if "moltworker" in called or (urlsplit(url).hostname or "").endswith(".workers.dev"):
            return {"preset": "moltworker", "url": url, **more, "handles": ["always_on"]}
        if "openclaw" in called or _port(url) == _OPENCLAW_PORT:
            return {"preset": "openclaw", "url": url, **more, "handles": ["general"]}
    serves = PurePath(str(row.get("command"))).stem == "claude" and row.get("args") == ["mcp", "serve"]
    if serves or (url == "stdio" and "claude" in called):
        return {"preset": "claude-code", "handles": ["coding", SYSTEM_REPAIR]}
    return None


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _server(name: str, row: Row, origin: KeyPath, draft: Draft) -> dict[str, Any]:
    """Return the row of any other MCP server; it takes the tasks of its own name."""
    found = {key: value for key, value in row.items() if _is_ours(key)}
    if url := _url(row):
        found["url"] = url
    if row.get("type", row.get("transport")) == "sse":
        draft.note((*origin, "type"), "left out: sse", "MCP replaced it by Streamable HTTP: the url is tried with that")
    if token := row.get("authentication_token", row.get("auth_value")):
        found["token"] = token
    if strange := [key for key in row if key not in found and key not in SILENT]:
        draft.note(origin, f"left out: {', '.join(strange)}", "the client's own settings, or said in another unit")
    if "handles" not in row:
        found["handles"] = [name]
        draft.note(origin, f"handles: [{name}]", "it takes tasks of this type, and those that name it")
    if not row.keys() & {"tool", "preset"}:
        draft.note(
            origin, "names no tool", "`tool` and `arguments` say how it runs a task; omni-mcp executors lists its tools"
        )
    return _plain_variables(found)


def _is_ours(key: str) -> bool:
    """Whether a key is one of ours, or one of ours misspelt, which is then said."""
    known = ExecutorRow.model_fields.keys() - {"timeout"}
    return key in known or (key not in SILENT and nearest(key, known - UNLIKE, cutoff=0.8) is not None)


def _plain_variables(value: Any) -> Any:
    """Return a value with `${env:NAME}`, as some clients write it, as `${NAME}`."""
    if isinstance(value, str):
        return _ENV.sub(r"${\1}", value)
    if isinstance(value, Mapping):
        return {key: _plain_variables(child) for key, child in cast("Row", value).items()}
    return [_plain_variables(child) for child in cast("list[Any]", value)] if isinstance(value, list) else value
