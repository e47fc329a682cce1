"""An MCP server over stdio (handshake of 2025-11-25, standard library only) that misbehaves when asked to.

Flags: `mute` answers nothing, `exit` ends at once, `noise` prints garbage first, `deaf` outlives EOF and SIGTERM.
Tools: see the functions below; each is a tool of the same name.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

writing = threading.Lock()
meeting = threading.Barrier(3)
cancelled: list[Any] = []


def send(**message: Any) -> None:
    """Write one message."""
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def reply(request: Any, text: str, **more: Any) -> None:
    """Answer a tool call."""
    send(id=request["id"], result={"content": [{"type": "text", "text": text}], **more})


def progress(request: Any, number: int, message: str) -> None:
    """Tell how far it is."""
    token = request["params"]["_meta"]["progressToken"]
    params = {"progressToken": token, "progress": number, "message": message}
    send(method="notifications/progress", params=params)


def echo(request: Any) -> None:
    """Say it back, with the process id."""
    reply(request, request["params"]["arguments"].get("text", ""), structuredContent={"pid": os.getpid()})


def environment(request: Any) -> None:
    """Show what this process was given."""
    reply(request, json.dumps(dict(os.environ)))


def steps(request: Any) -> None:
    """Tell five steps, then answer."""
    for number in range(1, 6):
        progress(request, number, f"step {number}")
    reply(request, "done")


def never(request: Any) -> None:
    """Say that it began, and no more."""
    progress(request, 1, "began")


def heard(request: Any) -> None:
    """Say how many calls were cancelled."""
    reply(request, str(len(cancelled)))


def meet(request: Any) -> None:
    """Answer when three calls are here at once."""
    meeting.wait(timeout=10)
    reply(request, "met")


def die(_request: Any) -> None:
    """End without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def begin_and_die(request: Any) -> None:
    """Start a process that outlives this one, say its id, and end."""
    progress(request, 1, str(start_child()))
    os.kill(os.getpid(), signal.SIGKILL)


def child(request: Any) -> None:
    """Start a process in a session of its own and say its id."""
    reply(request, str(start_child()))


def start_child() -> int:
    """Start a process that holds none of our pipes."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return process.pid


def freeze(_request: Any) -> None:
    """Stop this process without ending it."""
    os.kill(os.getpid(), signal.SIGSTOP)


def garbage(request: Any) -> None:
    """Print what is no message, then answer."""
    with writing:
        sys.stdout.write('INFO: a stray print()\n{not json}\n\n{"a": 1}\n')
        sys.stdout.flush()
    reply(request, "after garbage")


def binary(request: Any) -> None:
    """Print what is no UTF-8, then answer."""
    with writing:
        os.write(1, b"\xff\xfe\xfa binary\n")
    reply(request, "after binary")


def fails(request: Any) -> None:
    """Report an error as a tool does."""
    reply(request, "boom", isError=True)


def protocol_error(request: Any) -> None:
    """Report an error as the protocol does."""
    send(id=request["id"], error={"code": -32050, "message": "rpc boom"})


def refuses(request: Any) -> None:
    """Find fault with the arguments."""
    send(id=request["id"], error={"code": -32602, "message": "text is missing"})


def malformed(request: Any) -> None:
    """Answer with what is no tool result."""
    send(id=request["id"], result={"content": "a string"})


def mismatch(request: Any) -> None:
    """Answer with something else than the output schema promises."""
    reply(request, "{}", structuredContent={"number": "none"})


def surrogate(request: Any) -> None:
    """Answer with half a surrogate pair, which no UTF-8 can carry."""
    raw(request, '{"content": [{"type": "text", "text": "half \\ud800 pair"}]}')


def deep(request: Any) -> None:
    """Answer with more brackets than any reader likes."""
    raw(request, '{"content": [], "structuredContent": {"deep": ' + "[" * 5000 + "]" * 5000 + "}}")


def raw(request: Any, result: str) -> None:
    """Write an answer as it stands."""
    with writing:
        sys.stdout.write(f'{{"jsonrpc": "2.0", "id": {request["id"]}, "result": {result}}}\n')
        sys.stdout.flush()


def huge(request: Any) -> None:
    """Answer with fifty megabytes."""
    reply(request, "x" * 50_000_000)


def flood(request: Any) -> None:
    """Tell ten thousand steps at once."""
    for number in range(10_000):
        progress(request, number, f"step {number}")
    reply(request, "after the flood")


def twice(request: Any) -> None:
    """Answer two times."""
    reply(request, "one")
    reply(request, "two")


def nothing(request: Any) -> None:
    """Answer with an empty result."""
    send(id=request["id"], result={"content": []})


def late(request: Any) -> None:
    """Answer after it was cancelled, all the same."""
    progress(request, 1, "began")
    while request["id"] not in cancelled:
        time.sleep(0.01)
    reply(request, "late")


def exit_well(_request: Any) -> None:
    """End in mid call with the exit code of success."""
    os._exit(0)


TOOLS: dict[str, Callable[[Any], None]] = {
    tool.__name__: tool
    for tool in (
        *(echo, environment, steps, never, heard, meet, die, begin_and_die, child, freeze),
        *(garbage, binary, fails, protocol_error, refuses, malformed, mismatch),
        *(surrogate, deep, huge, flood, twice, nothing, late, exit_well),
    )
}
NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


def listed(name: str) -> dict[str, Any]:
    """Describe a tool."""
    schema = {"outputSchema": NUMBER} if name == "mismatch" else {}
    return {"name": name, "description": TOOLS[name].__doc__, "inputSchema": {"type": "object"}, **schema}


def serve_one(message: Any) -> None:
    """Answer one message."""
    match message:
        case {"method": "initialize", "id": number}:
            about = {"name": "bad", "version": "1"}
            version = message["params"]["protocolVersion"]
            send(id=number, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
        case {"method": "tools/list", "id": number}:
            send(id=number, result={"tools": [listed(name) for name in TOOLS]})
        case {"method": "tools/call", "params": {"name": name}} if name in TOOLS:
            threading.Thread(target=TOOLS[name], args=(message,), daemon=True).start()
        case {"method": "notifications/cancelled", "params": params}:
            cancelled.append(params["requestId"])
        case {"id": number}:
            send(id=number, error={"code": -32601, "message": "Method not found"})
        case _:
            pass


def main(flags: list[str]) -> None:
    """Serve until stdin ends, or worse."""
    if "exit" in flags:
        sys.exit("cannot start: its config is missing")
    if "noise" in flags:
        os.write(1, b"Loading...\n\xff\xfe 10%\n")
    if "deaf" in flags:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf from now on", file=sys.stderr, flush=True)  # noqa: T201
    for line in sys.stdin:
        if "mute" not in flags:
            serve_one(json.loads(line))
    while "deaf" in flags:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
