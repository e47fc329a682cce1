"""A small MCP server for the tests: tools that answer, wait for a word, refuse; each call is written to a log.

python workshop.py LOG [--http PORT]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import anyio
from fastmcp import Context, FastMCP

parser = argparse.ArgumentParser()
parser.add_argument("log", type=Path)
parser.add_argument("--http", type=int, default=None)
arguments = parser.parse_args()
server = FastMCP("workshop")


def log(tool: str, text: str) -> None:
    """Write a line that the test can read whatever becomes of us."""
    with arguments.log.open("a") as lines:
        lines.write(json.dumps({"tool": tool, "text": text, "pid": os.getpid(), "at": time.time()}) + "\n")


@server.tool
async def echo(text: str, context: Context) -> str:
    """Say it again."""
    log("echo", text)
    await context.report_progress(1, 1, f"echoing {text[:20]}")
    return f"echo: {text}"


@server.tool
async def until(path: str, context: Context) -> str:
    """Work until a file is there."""
    log("until", path)
    await context.report_progress(0, None, "waiting for a word")
    while not Path(path).exists():
        await anyio.sleep(0.02)
    log("until done", path)
    return "done"


@server.tool
async def heap(size: int) -> dict[str, str]:
    """Give much besides little."""
    return {"kind": "large", "filler": "x" * size}


@server.tool
async def refuse(text: str) -> str:
    """Fail."""
    log("refuse", text)
    raise ValueError("this cannot be done")


@server.tool
async def hand_on(text: str) -> str:
    """Hand the same work on to the orchestrator that it came from, as an agent with a shell would."""
    log("hand on", text)
    command = [sys.executable, "-m", "omni_mcp", "submit", text, "--type", "hand_on"]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "OMNI_HOME")}  # no mark: many clients pass none on
    done = await anyio.run_process(command, env=env, check=False)
    return (done.stdout + done.stderr).decode()


if arguments.http is None:
    server.run(show_banner=False)
else:
    server.run("http", host="127.0.0.1", port=arguments.http, show_banner=False, log_level="error")
