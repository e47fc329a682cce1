"""One run at a gateway without a ledger (protocol 3: Moltworkers, older OpenClaws).

It forgets its runs when it dies, and cannot say that it does not know one. So a run is sent again with the same key:
while the gateway lives it takes a key once; after its death it does the work again (at least once).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from omni_mcp.adapters.openclaw_result import RAISE_FIX, End, conclude
from omni_mcp.adapters.openclaw_run import Run, begin, notes, transcript_of, unanswered, wait
from omni_mcp.adapters.openclaw_wire import Gateway
from omni_mcp.contract import RunResult, failed
from omni_mcp.task import FailureClass

ENDS: Mapping[str, End] = {"ok": "completed", "timeout": "timed_out"}
ASK = 5.0
"""Seconds in which a stopped run is over."""


async def follow(gateway: Gateway, run: Run) -> RunResult:
    """Bring a run to its end. Raises GatewayError."""
    if run.begun and (await transcript_of(gateway, run)).is_over:
        return await _concluded(gateway, run, {"status": "ok"})
    await begin(gateway, run)
    while True:
        if ended := await wait(gateway, run, run.key):
            return await _concluded(gateway, run, ended)
        if kind := run.signs.hopeless:
            left = await stop(gateway, run.session, run.key)
            return failed(kind, unanswered(run), text=run.signs.said, lives=bool(left))


async def overdue(gateway: Gateway, run: Run) -> RunResult:
    """End a run that takes too long."""
    left = await stop(gateway, run.session, run.key)
    message = f"OpenClaw did not finish in {run.request.timeout:.0f} s"
    return failed(FailureClass.TASK, message, fix=RAISE_FIX, text=run.signs.said, lives=bool(left))


async def stop(gateway: Gateway, session: str, key: str) -> Sequence[str]:
    """Stop a run and see that it is over; returns what is left. Raises GatewayError."""
    aborted = await gateway.call("chat.abort", {"sessionKey": session, "runId": key})
    ended = await gateway.call("agent.wait", {"runId": key, "timeoutMs": int(ASK * 1000)}, timeout=ASK * 3)
    if aborted.get("aborted") or "endedAt" in ended or ended.get("status") in ("ok", "error"):
        return []
    return [f"run {key}, if there is one: this gateway (protocol 3) cannot tell"]


async def _concluded(gateway: Gateway, run: Run, ended: Mapping[str, Any]) -> RunResult:
    return conclude(
        ENDS.get(str(ended.get("status")), "failed"),
        run_id=run.key,
        error=ended.get("error"),
        transcript=await transcript_of(gateway, run),
        signs=run.signs,
        notes={**notes(gateway, run, run.key), "at_least_once": True},
    )
