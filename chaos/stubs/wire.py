"""A small MCP server over stdio (handshake of 2025-11-25): tools that run in threads, tell progress, can be cancelled.

SIGUSR1 cuts it: it closes its stdout and lives on.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_writing = threading.Lock()
_NO_SUCH_METHOD = -32601


@dataclass
class Call:
    """A tool call that runs."""

    arguments: Mapping[str, Any]
    token: Any
    cancelled: threading.Event = field(default_factory=threading.Event)
    told: int = 0

    def progress(self, message: str) -> None:
        """Tell people how far it is."""
        self.told += 1
        if self.token is not None:
            params = {"progressToken": self.token, "progress": self.told, "message": message}
            _send(method="notifications/progress", params=params)


Tool = Callable[[Call], Mapping[str, Any]]
"""Returns the fields of a CallToolResult."""


def structured(**fields: Any) -> Mapping[str, Any]:
    """Return a result as data."""
    return {"content": [], "structuredContent": fields}


def text(said: str) -> Mapping[str, Any]:
    """Return a result as text."""
    return {"content": [{"type": "text", "text": said}]}


def serve(name: str, tools: Mapping[str, Tool]) -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: os.close(1))
    calls: dict[Any, Call] = {}
    for line in sys.stdin:
        _serve_one(json.loads(line), name, tools, calls)
    os._exit(0)


def _serve_one(message: Any, name: str, tools: Mapping[str, Tool], calls: dict[Any, Call]) -> None:
    match message:
        case {"method": "initialize", "id": number, "params": {"protocolVersion": version}}:
            about = {"name": name, "version": "1"}
            _send(id=number, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
        case {"method": "tools/list", "id": number}:
            _send(id=number, result={"tools": [{"name": tool, "inputSchema": {"type": "object"}} for tool in tools]})
        case {"method": "tools/call", "id": number, "params": {"name": tool, **params}} if tool in tools:
            calls[number] = Call(params.get("arguments", {}), params.get("_meta", {}).get("progressToken"))
            threading.Thread(target=_answer, args=(number, tools[tool], calls[number]), daemon=True).start()
        case {"method": "notifications/cancelled", "params": {"requestId": number}} if number in calls:
            calls[number].cancelled.set()
        case {"id": number}:
            _send(id=number, error={"code": _NO_SUCH_METHOD, "message": "Method not found"})
        case _:
            pass


def _answer(number: Any, tool: Tool, call: Call) -> None:
    result = tool(call)
    if not call.cancelled.is_set():
        _send(id=number, result=result)


def _send(**message: Any) -> None:
    """Write a message; to a pipe that was cut it goes nowhere."""
    with _writing:
        try:
            os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        except OSError:
            return
