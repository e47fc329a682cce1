"""One run at a gateway that keeps a ledger of its own (protocol 4): begin it, follow it, stop it, begin it anew.

All that is known of a run is asked of the gateway each time, so it makes no difference who of us began it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from omni_mcp.adapters.openclaw_events import Signs
from omni_mcp.adapters.openclaw_reconcile import ACTIVE, Begin, Ended, Follow, Hold, Look, Lost, Row, Step, decide
from omni_mcp.adapters.openclaw_refusal import GatewayRefused
from omni_mcp.adapters.openclaw_result import RAISE_FIX, End, Transcript, conclude
from omni_mcp.adapters.openclaw_wire import Gateway
from omni_mcp.contract import RunRequest, RunResult, failed
from omni_mcp.task import FailureClass

LEDGER = "tasks.list"
"""The method that a gateway with a ledger has."""
SLICE = 10.0
"""Seconds after which a run is looked at again: after a death of the gateway it goes on under another run id."""
PAUSE = 0.3
"""Seconds between two looks at what is about to change."""
STOP_LIMIT = 10.0
"""Seconds in which a stopped run is over."""
BEGINNINGS = 3
"""How often a run is begun that the gateway's deaths ended before it could go on with it."""
MESSAGES = 1000
"""The most messages of a session that a gateway shows at once."""
CHARS = 500_000
"""The most characters of a message that it shows whole."""


@dataclass(kw_only=True)
class Run:
    """A run while we follow it."""

    request: RunRequest
    agent: str
    say: Callable[[str], None]
    """Takes a line for people."""
    limit: float
    """When it is to be over, by the event loop's clock."""
    begun: bool
    """Whether it may live at the gateway: it was sent, or an earlier attempt may have sent it."""
    signs: Signs = field(default_factory=Signs)
    beginning: int = 1
    accepted_in: str | None = None
    """The start of the gateway in which it took the run."""
    boots: dict[str, float] = field(default_factory=dict[str, float])
    """When we first saw each start of the gateway."""

    @property
    def key(self) -> str:
        """What the gateway calls the run that we began: the id that was written down before."""
        return key_of(self.request.run_id, self.beginning)

    @property
    def session(self) -> str:
        """Its session, which no other run shares."""
        return session_of(self.agent, self.key)

    def hear(self, event: str, payload: Mapping[str, Any]) -> None:
        """Take an event."""
        if line := self.signs.take(event, payload):
            self.say(line)
        if self.signs.hopeless:
            self.on_hopeless()

    on_hopeless: Callable[[], None] = field(default=lambda: None)
    """Called when its provider answers nothing, again and again."""


def key_of(run_id: str, beginning: int) -> str:
    """Return the gateway's name of a run: ours, and a number when it had to be begun anew."""
    return run_id if beginning == 1 else f"{run_id}-{beginning}"


def session_of(agent: str, key: str) -> str:
    """Return the key of the session of a run."""
    return f"agent:{agent}:omni-{key}".lower()


async def follow(gateway: Gateway, run: Run) -> RunResult:
    """Bring a run to its end, from wherever it is. Raises GatewayError."""
    while True:
        step = decide(await look(gateway, run), run_id=run.key, accepted=run.accepted_in == _boot(gateway))
        if (end := await _taken(gateway, run, step)) is not None:
            return end


async def _taken(gateway: Gateway, run: Run, step: Step) -> RunResult | None:
    """Take a step; returns the end of the run if that was it."""
    match step:
        case Ended(row):
            return await _concluded(gateway, run, row)
        case Begin():
            await begin(gateway, run)
        case Follow(run_id):
            await wait(gateway, run, run_id)
            return await _given_up(gateway, run) if run.signs.hopeless else None
        case Hold():
            run.say("the gateway died during it, and may go on with it by itself")
            await anyio.sleep(PAUSE)
        case Lost():
            return await _anew(gateway, run)
    return None


async def look(gateway: Gateway, run: Run) -> Look:
    """See what the gateway knows of the run's session."""
    tasks = await gateway.call("tasks.list", {"sessionKey": run.session})
    history = await gateway.call("chat.history", {"sessionKey": run.session, "limit": 1})
    now = anyio.current_time()
    seen = run.boots.setdefault(_boot(gateway), now)
    return Look.read(tasks, history, up_for=gateway.up_for, known_for=now - seen)


async def begin(gateway: Gateway, run: Run) -> None:
    """Send it; the gateway knows the key and takes it once. Raises GatewayError."""
    was_begun = run.begun
    run.signs.runs.add(run.key)
    try:
        if run.request.model:
            await gateway.call("sessions.patch", {"key": run.session, "model": run.request.model})
        run.begun = True
        await gateway.call("agent", _asked(run))
    except GatewayRefused:
        run.begun = was_begun
        raise
    run.accepted_in = _boot(gateway)
    run.say("the gateway has taken it")


async def wait(gateway: Gateway, run: Run, run_id: str) -> Mapping[str, Any]:
    """Wait a slice of time for the end of a run, or until its provider turns out to be down; empty: it goes on."""
    run.signs.runs.add(run_id)
    with anyio.CancelScope() as scope:
        run.on_hopeless = scope.cancel
        asked = {"runId": run_id, "timeoutMs": int(SLICE * 1000)}
        ended = await gateway.call("agent.wait", asked, timeout=SLICE * 3)
        if "endedAt" in ended:  # its row follows within some 100 ms
            await anyio.sleep(PAUSE)
            return ended
    return {}


async def stop(gateway: Gateway, session: str) -> Sequence[str]:
    """Stop whatever runs in a session and see that it is over; returns what is left. Raises GatewayError."""
    left: list[str] = []
    with anyio.move_on_after(STOP_LIMIT):
        while True:
            left = await _stopped(gateway, session)
            if not left:
                break
            await anyio.sleep(PAUSE)
    return left


async def _stopped(gateway: Gateway, session: str) -> list[str]:
    """Stop what runs now; returns what was still there, as a run may be that the ledger does not show yet."""
    tasks = await gateway.call("tasks.list", {"sessionKey": session})
    rows = [row for row in map(Row.model_validate, tasks.get("tasks", ())) if row.status in ACTIVE]
    for row in rows:
        await gateway.call("tasks.cancel", {"taskId": row.task_id, "reason": "stopped by omni-orchestrator"})
    history = await gateway.call("chat.history", {"sessionKey": session, "limit": 1})
    seen = Look.read({}, history, up_for=0, known_for=0)
    queued = [waiting for waiting in seen.inputs if waiting.state != "interrupted"]
    hidden = [f"a run in session {session}"] if seen.session.active or queued else []
    return [f"run {row.run_id}" for row in rows] or hidden


async def transcript_of(gateway: Gateway, run: Run) -> Transcript:
    """Return what was said in all sessions of the run, so that nothing that was paid for is left out."""
    messages: list[Any] = []
    whole = {"limit": MESSAGES} | ({"maxChars": CHARS} if LEDGER in gateway.hello.methods else {})
    for beginning in range(1, run.beginning + 1):
        session = session_of(run.agent, key_of(run.request.run_id, beginning))
        history = await gateway.call("chat.history", {"sessionKey": session, **whole})
        messages += history.get("messages") or ()
    return Transcript.model_validate({"messages": messages})


def notes(gateway: Gateway, run: Run, run_id: str) -> Mapping[str, Any]:
    """Return what is told of a run besides its result."""
    told: dict[str, Any] = {"session": run.session, "run_id": run_id}
    told |= {"gateway": f"OpenClaw {gateway.hello.version}", "protocol": gateway.hello.protocol}
    if run.beginning > 1 or run_id != run.key:
        told["gateway_died"] = "begun anew" if run.beginning > 1 else "OpenClaw went on by itself"
    return told


async def _concluded(gateway: Gateway, run: Run, row: Row) -> RunResult:
    ends: Mapping[str, End] = {"completed": "completed", "cancelled": "cancelled", "timed_out": "timed_out"}
    return conclude(
        ends.get(row.status, "failed"),
        run_id=row.run_id,
        error=row.error,
        transcript=await transcript_of(gateway, run),
        signs=run.signs,
        notes=notes(gateway, run, row.run_id),
    )


async def _given_up(gateway: Gateway, run: Run) -> RunResult:
    """End a run whose provider does not answer."""
    kind = run.signs.hopeless or FailureClass.PROVIDER
    return await _ended_by_us(gateway, run, kind, unanswered(run))


async def overdue(gateway: Gateway, run: Run) -> RunResult:
    """End a run that takes too long."""
    message = f"OpenClaw did not finish in {run.request.timeout:.0f} s"
    return await _ended_by_us(gateway, run, FailureClass.TASK, message, fix=RAISE_FIX)


def unanswered(run: Run) -> str:
    """Say what a run was given up for."""
    return f"OpenClaw's model provider does not answer after {run.signs.retries} retries ({run.signs.reason})"


async def _ended_by_us(
    gateway: Gateway, run: Run, kind: FailureClass, message: str, *, fix: str | None = None
) -> RunResult:
    """Stop a run and say why; one that completed meanwhile keeps its own end."""
    left = await stop(gateway, run.session)
    step = decide(await look(gateway, run), run_id=run.key, accepted=True)
    if isinstance(step, Ended) and step.row.status == "completed":
        return await _concluded(gateway, run, step.row)
    usage = (await transcript_of(gateway, run)).usage
    return failed(kind, message, fix=fix, text=run.signs.said, lives=bool(left), usage=usage)


async def _anew(gateway: Gateway, run: Run) -> RunResult | None:
    """Make sure that nothing of a lost run goes on, and have it begun in a session of its own; None: go on."""
    if left := await stop(gateway, run.session):
        message = f"the gateway died during it, and what it left does not stop: {', '.join(left)}"
        return failed(FailureClass.INTERRUPTED, message, lives=True)
    if run.beginning == BEGINNINGS:
        return failed(FailureClass.INTERRUPTED, f"the gateway died {BEGINNINGS} times during it")
    run.beginning += 1
    run.say("the gateway died before it could go on with it; it is begun anew")
    return None


def _asked(run: Run) -> Mapping[str, Any]:
    left = run.limit - anyio.current_time()
    return {
        "message": run.request.description,
        "idempotencyKey": run.key,
        "agentId": run.agent,
        "sessionKey": run.session,
        "timeout": max(1, int(left * 0.9)),
        "deliver": False,
        "cleanupBundleMcpOnRunEnd": True,
    }


def _boot(gateway: Gateway) -> str:
    return gateway.hello.boot_id or ""
