"""A labelled stand-in for Claude Code, for a machine without it: a small agent that speaks `contract.py` over stdio.

It asks the model, runs the shell command that the model wants, tells it what came of that, and so on to the end. The
conversation is on disk, so a run that was killed goes on in its session: the command that was cut off is told as an
error. Start it with `python -m omni_mcp.demo.stand_in --sessions DIR`.
"""

import argparse
import json
import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio import CancelScope
from anyio.abc import Process
from anyio.to_thread import run_sync

from omni_mcp import __version__
from omni_mcp.adapters.serving import Ask, Tell, serve
from omni_mcp.contract import TASK_MARK, CancelResult, Endpoint, Health, RunRef, RunRequest, RunResult
from omni_mcp.processes import die_with_parent, whole
from omni_mcp.task import FailureClass

WHO = "a stand-in for Claude Code: a small agent of the demo that really runs its commands"

MODEL_LIMIT = 90.0
"""Seconds for one model call; the first one waits until LiteLLM is loaded."""

BASH = {"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}

CUT_OFF = "Interrupted: the command was cut off, its outcome is unknown."

Talk = list[dict[str, Any]]
"""A conversation in the words of Anthropic's messages API."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A run while it lasts; `over` is set when its command is gone."""

    scope: CancelScope = field(default_factory=CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation on disk, whole at any moment."""

    file: Path

    def read(self) -> Talk | None:
        """Return it, None if there is none yet."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None

    def write(self, talk: Talk) -> None:
        """Put a longer one in its place."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(talk, ensure_ascii=False), encoding="utf-8")
        draft.replace(self.file)


class StandIn:
    """Runs attempts; its conversations are files in `sessions`, named by run id."""

    def __init__(self, sessions: Path) -> None:
        self._sessions = sessions
        self._runs: dict[str, _Run] = {}

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Run one attempt to its end; every end is a result."""
        if request.endpoint is None:
            return _failed(FailureClass.CONFIG, "it has no model: its row needs `login: relay`")
        session = Session(self._sessions / f"{request.run_id}.json")
        before = await run_sync(session.read) if request.resume else None
        talk = begin(request.description) if before is None else go_on(before)
        with self._listed(request) as run:
            with run.scope:
                try:
                    await _converse(talk, request, request.endpoint, session, tell)
                except httpx.HTTPError as error:
                    return _failed(FailureClass.PROVIDER, f"the model call failed: {error or type(error).__name__}")
                notes = {"session_id": request.run_id, "resumed": before is not None, "stand_in": WHO}
                return RunResult(status="completed", text=f"{_said(talk)}\n({WHO})", notes=notes)
        return _failed(FailureClass.CANCELLED, "stopped on request")

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run and wait until its command is gone."""
        if (run := self._runs.get(ref.run_id)) is not None:
            run.scope.cancel()
            await run.over.wait()
        return CancelResult(stopped=True)

    async def health(self) -> Health:
        """Say what this is."""
        return Health(ok=True, version=__version__, detail=WHO)

    @contextmanager
    def _listed(self, request: RunRequest) -> Generator[_Run]:
        run = self._runs[request.run_id] = _Run()
        try:
            yield run
        finally:
            del self._runs[request.run_id]
            run.over.set()


def begin(task: str) -> Talk:
    """Return the conversation of a new run."""
    return [{"role": "user", "content": [{"type": "text", "text": task}]}]


def go_on(talk: Talk) -> Talk:
    """Return the conversation of a run that was killed: what it was about to do is told as cut off."""
    cut_off = [_result(call, CUT_OFF, failed=True) for call in _calls(talk[-1])]
    return [*talk, {"role": "user", "content": cut_off}] if cut_off else talk


async def _converse(talk: Talk, request: RunRequest, endpoint: Endpoint, session: Session, tell: Tell) -> None:
    """Lengthen the talk until the model calls no tool any more; it is saved before each step that has an effect."""
    while not (talk[-1]["role"] == "assistant" and not _calls(talk[-1])):
        if calls := _calls(talk[-1]):
            results = [await _use(call, request, tell) for call in calls]
            talk.append({"role": "user", "content": results})
        else:
            talk.append({"role": "assistant", "content": await _ask(talk, request, endpoint)})
        await run_sync(session.write, talk)


def _calls(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [block for block in message["content"] if block["type"] == "tool_use"]


def _said(talk: Talk) -> str:
    return "\n".join(block["text"] for block in talk[-1]["content"] if block["type"] == "text")


def _result(call: dict[str, Any], text: str, *, failed: bool) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call["id"], "content": text, "is_error": failed}


async def _ask(talk: Talk, request: RunRequest, endpoint: Endpoint) -> Any:
    """Return the content of the model's next message. Raises httpx.HTTPError."""
    body = {"model": request.model or "default", "max_tokens": 1024, "messages": talk, "tools": [BASH]}
    headers = {"x-api-key": endpoint.token.get_secret_value()}
    async with httpx.AsyncClient(base_url=endpoint.base_url, timeout=MODEL_LIMIT, trust_env=False) as client:
        answer = await client.post("/v1/messages", json=body, headers=headers)
    return answer.raise_for_status().json()["content"]


async def _use(call: dict[str, Any], request: RunRequest, tell: Tell) -> dict[str, Any]:
    """Run the command that the model wants, and return what came of it."""
    await tell(f"Bash: {call['input'].get('description', 'a command')}")
    code, output = await _shell(call["input"]["command"], request)
    return _result(call, output or f"exit code {code}", failed=code != 0)


async def _shell(command: str, request: RunRequest) -> tuple[int, str]:
    """Run a command in the task's folder; if this is cut off, the command and what it started are ended."""
    argv = await run_sync(die_with_parent, ["sh", "-c", command])
    start = anyio.open_process(
        argv,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        cwd=request.cwd,
        env={**os.environ, TASK_MARK: request.task_id},
        start_new_session=True,
    )
    async with await whole(start) as process:
        try:
            return await _end_of(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _end_of(process: Process) -> tuple[int, str]:
    assert process.stdout is not None  # noqa: S101 - started with a pipe
    output = b"".join([piece async for piece in process.stdout])
    return await process.wait(), output.decode(errors="replace")


def _failed(kind: FailureClass, message: str) -> RunResult:
    return RunResult(status="failed", failure=kind, message=message)


def main() -> None:
    """Serve over stdio until stdin ends."""
    parser = argparse.ArgumentParser(description="A stand-in for Claude Code.")
    parser.add_argument("--sessions", type=Path, required=True, help="where the conversations are kept")
    serve("stand-in", StandIn(parser.parse_args().sessions))


if __name__ == "__main__":
    main()
