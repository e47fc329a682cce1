"""A small MCP server for the tests: tools that answer, wait for a word, refuse; each call is written to a log.

python workshop.py LOG [--http PORT]

Over stdio it is written out (handshake of 2025-11-25, standard library only), because it is started a hundred times.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG = Path(sys.argv[1])
Tell = Callable[[str], None]
writing = threading.Lock()
cancelled: set[Any] = set()


def log(tool: str, text: str) -> None:
    """Write a line that the test can read whatever becomes of us."""
    with LOG.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"tool": tool, "text": text, "pid": os.getpid(), "at": time.time()}) + "\n")


class Call:
    """A call of a tool over stdio."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.id, params = message["id"], message["params"]
        self.arguments: dict[str, Any] = params.get("arguments", {})
        self.meta: dict[str, Any] = params.get("_meta", {})
        self._token = self.meta.get("progressToken")

    @property
    def wanted(self) -> bool:
        """Whether it was not cancelled."""
        return self.id not in cancelled

    def tell(self, message: str) -> None:
        """Tell how far it is, whoever wants to hear it."""
        if self._token is not None:
            params = {"progressToken": self._token, "progress": 0, "message": message}
            send(method="notifications/progress", params=params)


def echo(call: Call) -> str:
    """Say it again."""
    text = call.arguments["text"]
    log("echo", text)
    call.tell(f"echoing {text[:20]}")
    return f"echo: {text}"


def traced(call: Call) -> str:
    """Say which span it was told that it is part of."""
    return str(call.meta.get("traceparent"))


def until(call: Call) -> str:
    """Work until a file is there."""
    path = call.arguments["path"]
    log("until", path)
    call.tell("waiting for a word")
    while not Path(path).exists():
        if not call.wanted:
            return "cancelled"
        time.sleep(0.02)
    log("until done", path)
    return "done"


def heap(call: Call) -> dict[str, str]:
    """Give much besides little."""
    return {"kind": "large", "filler": "x" * int(call.arguments["size"])}


def refuse(call: Call) -> str:
    """Fail."""
    log("refuse", call.arguments["text"])
    raise ValueError("this cannot be done")


def hand_on(call: Call) -> str:
    """Hand the same work on to the orchestrator that it came from, as an agent with a shell would."""
    text = call.arguments["text"]
    log("hand on", text)
    command = [sys.executable, "-m", "omni_mcp", "submit", text, "--type", "hand_on"]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "OMNI_HOME")}  # no mark: many clients pass none on
    done = subprocess.run(command, env=env, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return (done.stdout + done.stderr).decode()


TOOLS: dict[str, Callable[[Call], str | dict[str, str]]] = {
    tool.__name__: tool for tool in (echo, until, heap, refuse, hand_on, traced)
}
ARGUMENTS = {"until": ("path", "string"), "heap": ("size", "integer")}


def listed(name: str) -> dict[str, Any]:
    """Describe a tool."""
    argument, kind = ARGUMENTS.get(name, ("text", "string"))
    schema = {"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]}
    return {"name": name, "description": TOOLS[name].__doc__, "inputSchema": schema}


def send(**message: Any) -> None:
    """Write one message."""
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def serve(message: dict[str, Any]) -> None:
    """Carry out a call, and answer it."""
    call, name = Call(message), message["params"]["name"]
    try:
        said = TOOLS[name](call)
    except (KeyError, ValueError) as error:
        result = {"content": [{"type": "text", "text": f"Error calling tool {name!r}: {error}"}], "isError": True}
    else:
        text = said if isinstance(said, str) else json.dumps(said)
        more = {} if isinstance(said, str) else {"structuredContent": said}
        result = {"content": [{"type": "text", "text": text}], **more}
    if call.wanted:
        send(id=call.id, result=result)


def over_stdio() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        match json.loads(line):
            case {"method": "initialize", "id": number, "params": {"protocolVersion": version}}:
                about = {"name": "workshop", "version": "1"}
                able: dict[str, Any] = {"tools": {}}
                send(id=number, result={"protocolVersion": version, "capabilities": able, "serverInfo": about})
            case {"method": "tools/list", "id": number}:
                send(id=number, result={"tools": [listed(name) for name in TOOLS]})
            case {"method": "ping", "id": number}:
                send(id=number, result={})
            case {"method": "tools/call", **_other} as message:
                threading.Thread(target=serve, args=(message,), daemon=True).start()
            case {"method": "notifications/cancelled", "params": {"requestId": number}}:
                cancelled.add(number)
            case {"id": number}:
                send(id=number, error={"code": -32601, "message": "Method not found"})
            case _:
                pass


def over_http(port: int) -> None:
    """Serve the tool that waits over Streamable HTTP."""
    import anyio
    from fastmcp import FastMCP

    server = FastMCP("workshop")

    @server.tool(name="until")
    async def _until(path: str) -> str:
        """Work until a file is there."""
        log("until", path)
        while not Path(path).exists():
            await anyio.sleep(0.02)
        return "done"

    server.run("http", host="127.0.0.1", port=port, show_banner=False, log_level="error")


if sys.argv[2:]:
    over_http(int(sys.argv[3]))
else:
    over_stdio()
