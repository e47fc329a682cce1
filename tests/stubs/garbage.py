"""An MCP server that writes garbage and invalid UTF-8 before every answer."""

import json
import sys
from typing import Any

VERSION = "2025-11-25"


def say(message: dict[str, Any]) -> None:
    """Write noise, then the message."""
    sys.stdout.buffer.write(b"debug: starting\n\xff\xfe\xfa\n{not json}\n" + json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def answer(request: dict[str, Any]) -> dict[str, Any] | None:
    """Answer the few requests that a client makes."""
    match request.get("method"):
        case "initialize":
            server = {"name": "garbage", "version": "1"}
            return {"protocolVersion": VERSION, "capabilities": {"tools": {}}, "serverInfo": server}
        case "tools/list":
            return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        case "tools/call":
            return {"content": [{"type": "text", "text": request["params"]["arguments"]["text"]}]}
        case "ping":
            return {}
        case _:
            return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request)
    if result is None:
        say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "no such method"}})
    else:
        say({"jsonrpc": "2.0", "id": request["id"], "result": result})
