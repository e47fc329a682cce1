"""The assistant: an executor that answers a task through the model layer, for a machine without any agent.

An MCP server over stdio under `contract.py`; start it with `python -m omni_mcp.adapters.assistant`. It has no tools and
leaves nothing behind, so a broken run may always be done again.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
from anyio import CancelScope

from omni_mcp import __version__
from omni_mcp.adapters.serving import Ask, Tell, serve
from omni_mcp.contract import CancelResult, Endpoint, Health, RunRef, RunRequest, RunResult
from omni_mcp.errors import OmniError
from omni_mcp.task import FailureClass

INSTRUCTIONS = (
    "Do the whole task that the user gives you and answer in the language in which it is written. You have no tools and"
    " nobody can answer questions: where something is left open, choose, and say what you assumed."
)

NO_MODEL = "add models: to servers.yaml"

CHAT = "/v1/chat/completions"

CONNECT_LIMIT = 10.0
"""Seconds to reach the relay, which is on this machine."""

MARGIN = 5.0
"""Seconds before the engine's limit at which a run ends itself, so that what came so far is still reported."""

PACE = 0.25
"""Seconds between two lines of progress, at least."""

TAIL = 80
"""Characters of the newest text in a line of progress."""

KINDS: Mapping[int, FailureClass] = {
    401: FailureClass.AUTH,
    402: FailureClass.AUTH,
    403: FailureClass.AUTH,
    404: FailureClass.CONFIG,
    429: FailureClass.RATE_LIMIT,
}
"""What a status of the relay means; of the others 4xx is the task's fault and 5xx the provider's."""

FIXES: Mapping[FailureClass, str] = {
    FailureClass.AUTH: "check the keys under models: in servers.yaml",
    FailureClass.CONFIG: "check the names under models: in servers.yaml",
}


class _Refused(OmniError):
    """The model layer said no, or went away."""

    def __init__(self, message: str, *, kind: FailureClass, retry_at: datetime | None = None) -> None:
        super().__init__(message, next_step=FIXES.get(kind))
        self.kind = kind
        self.retry_at = retry_at


@dataclass(slots=True)
class _Answer:
    """What has come so far."""

    text: str = ""
    finish: str | None = None


class Assistant:
    """Answers tasks; keeps nothing but the runs that go on."""

    def __init__(self) -> None:
        self._runs: dict[str, CancelScope] = {}

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Answer one task; every end is a result."""
        if request.endpoint is None:
            return _failed(FailureClass.CONFIG, "no model is configured", fix=NO_MODEL)
        limit = request.timeout - min(MARGIN, request.timeout / 10)
        answer = _Answer()
        with CancelScope() as scope, anyio.move_on_after(limit):
            self._runs[request.run_id] = scope
            try:
                return await _answered(request, request.endpoint, answer, tell)
            except _Refused as error:
                return _failed(error.kind, error.message, answer, fix=error.next_step, retry_at=error.retry_at)
            finally:
                del self._runs[request.run_id]
        if scope.cancelled_caught:
            return _failed(FailureClass.CANCELLED, "stopped on request", answer)
        if not answer.text:
            return _failed(FailureClass.PROVIDER, f"the model did not begin to answer in {limit:.0f} s")
        message = f"the model did not finish in {limit:.0f} s"
        return _failed(FailureClass.TASK, message, answer, fix="raise the executor's timeout in servers.yaml")

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a run; hanging up is all there is to stop."""
        if (scope := self._runs.get(ref.run_id)) is not None:
            scope.cancel()
        return CancelResult(stopped=True)

    async def health(self) -> Health:
        """Say that it is there; whether its models answer, the engine knows."""
        return Health(ok=True, version=__version__, detail="answers through the engine's models")


async def _answered(request: RunRequest, endpoint: Endpoint, answer: _Answer, tell: Tell) -> RunResult:
    """Fill `answer` from the stream and tell of it. Raises _Refused."""
    told_at = -PACE
    async with _pieces(request, endpoint) as pieces:
        async for piece in pieces:
            _take(answer, piece)
            if answer.text and anyio.current_time() - told_at >= PACE:
                told_at = anyio.current_time()
                await tell(f"{len(answer.text)} characters: {' '.join(answer.text[-TAIL:].split())}")
    if not answer.text.strip():
        raise _Refused(f"the model answered with nothing ({answer.finish})", kind=FailureClass.TASK)
    return RunResult(status="completed", text=answer.text, notes={"finish_reason": answer.finish})


def _take(answer: _Answer, piece: Mapping[str, Any]) -> None:
    if error := piece.get("error"):
        raise _Refused(f"the answer broke off: {error.get('message')}", kind=FailureClass.PROVIDER)
    for choice in piece.get("choices", ())[:1]:
        answer.text += choice.get("delta", {}).get("content") or ""
        answer.finish = choice.get("finish_reason") or answer.finish


@asynccontextmanager
async def _pieces(request: RunRequest, endpoint: Endpoint) -> AsyncGenerator[AsyncGenerator[Mapping[str, Any]]]:
    """Ask the model and give the pieces of its answer. Raises _Refused for all that goes wrong on the way."""
    body = {
        "model": request.model or "default",
        "stream": True,
        "messages": [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": request.description}],
    }
    headers = {"authorization": f"Bearer {endpoint.token.get_secret_value()}"}
    timeout = httpx.Timeout(None, connect=CONNECT_LIMIT)
    try:
        async with (
            httpx.AsyncClient(base_url=endpoint.base_url, headers=headers, timeout=timeout, trust_env=False) as client,
            client.stream("POST", CHAT, json=body) as response,
        ):
            if response.is_error:
                raise _refusal(response, await response.aread())
            yield _events(response)
    except httpx.TransportError as error:
        message = f"the model layer went away: {error or type(error).__name__}"
        raise _Refused(message, kind=FailureClass.PROVIDER) from error


async def _events(response: httpx.Response) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield the pieces up to the end that was announced; without one the answer is not whole."""
    async for line in response.aiter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    raise _Refused("the answer broke off", kind=FailureClass.PROVIDER)


def _refusal(response: httpx.Response, body: bytes) -> _Refused:
    others = FailureClass.PROVIDER if response.is_server_error else FailureClass.TASK
    kind = KINDS.get(response.status_code, others)
    retry_at = None
    if seconds := response.headers.get("retry-after"):
        retry_at = datetime.now(UTC) + timedelta(seconds=float(seconds))
    return _Refused(f"HTTP {response.status_code}: {_message_in(body)}", kind=kind, retry_at=retry_at)


def _message_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")


def _failed(
    kind: FailureClass,
    message: str,
    answer: _Answer | None = None,
    *,
    fix: str | None = None,
    retry_at: datetime | None = None,
) -> RunResult:
    text = answer.text if answer else ""
    return RunResult(status="failed", text=text, failure=kind, message=message, fix=fix, retry_at=retry_at)


def main() -> None:
    """Serve over stdio until stdin ends."""
    serve("assistant", Assistant())


if __name__ == "__main__":
    main()
