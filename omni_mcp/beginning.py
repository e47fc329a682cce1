"""From what was claimed to attempts that are ready to run: begun together, each with what it is given."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import anyio

from omni_mcp.attempt import Attempt
from omni_mcp.claiming import Claim, route_of, stumbled
from omni_mcp.decide.health import Verdict
from omni_mcp.decide.modes.state import Ran
from omni_mcp.decide.permit import Monitoring
from omni_mcp.decide.repair import is_over, nobody_else, verdict
from omni_mcp.decide.retry import attempts_of
from omni_mcp.errors import LedgerError, TransitionRefused
from omni_mcp.ledger.base import Ledger
from omni_mcp.marks import Marks
from omni_mcp.means import Means
from omni_mcp.presets import ExecutorSpec
from omni_mcp.remembering import Remembering
from omni_mcp.servers_file.direct import dialect_of
from omni_mcp.task import (
    LADDER,
    SYSTEM_REPAIR,
    Choice,
    Clock,
    Completed,
    Failed,
    FailureClass,
    Outcome,
    Task,
    WaitingFor,
)
from omni_mcp.workplaces import Workplaces

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Beginning:
    """Begins what was claimed, and hears how it ends."""

    ledger: Ledger
    clock: Clock
    owner: str
    modes: Monitoring
    marks: Marks
    workplaces: Workplaces
    channels: Callable[[], Sequence[str]]
    means: Callable[[], Means]
    """Those of now."""

    async def begin(self, claims: Sequence[Claim]) -> tuple[Sequence[Attempt], Sequence[BaseException]]:
        """Write down that they begin, together; returns the attempts at those that nobody else took, and what failed.

        Shielded: what was begun is in somebody's hands, also when we are just being stopped.
        """
        begun, failed = list[Attempt](), list[BaseException]()
        with anyio.CancelScope(shield=True):
            writes = [self.ledger.begin(each.task.id, owner=self.owner, claimed=each.task) for each in claims]
            for claim, said in zip(claims, await asyncio.gather(*writes, return_exceptions=True), strict=True):
                if isinstance(said, BaseException):
                    failed.append(said)
                elif said is not None and (attempt := await self._ready(claim, said)) is not None:
                    begun.append(attempt)
        return begun, failed

    async def _ready(self, claim: Claim, task: Task) -> Attempt | None:
        """Return the attempt at a task; one that makes us stumble waits for a person and costs no other its turn."""
        try:
            return self._attempt(claim, task)
        except Exception as error:
            logger.exception("claim stumbled", extra={"action": "claim_stumbled", "task_id": task.id})
            with suppress(LedgerError, TransitionRefused):  # else it is adopted as one of ours that nothing runs
                await self.ledger.park(
                    task.id,
                    attempt=task.attempt,
                    owner=self.owner,
                    waiting_for=WaitingFor.CONSENT,
                    text=stumbled(error),
                )
            return None

    def _attempt(self, claim: Claim, task: Task) -> Attempt:
        means, found, name = self.means(), claim.found, claim.spec.name
        servers = means.settings.servers
        served = self._direct_model(found.type, claim.spec) if claim.spec.relayed else None
        return Attempt(
            task=task,
            choice=Choice(
                executor=name,
                requested=found.requested,
                model=served or claim.model,
                reason=found.reason,
                type=found.type,
            ),
            litellm_model=claim.model,
            spec=claim.spec,
            executor=means.pool.get(name),
            ledger=self.ledger,
            owner=self.owner,
            clock=self.clock,
            max_attempts=attempts_of(task.spec, servers.limits.max_attempts),
            cloud_retry=timedelta(seconds=servers.fault_handler.check_interval),
            workplaces=self.workplaces,
            relay=means.relay,
            purse=claim.purse,
            on_trouble=self.marks.make,
            on_end=self._hear,
            remembering=Remembering(
                ledger=self.ledger, settings=servers.memory, store=means.memory, secrets=means.secrets
            ),
            channels=self.channels,
            **self._limits(task, name),
        )

    def _direct_model(self, task_type: str | None, spec: ExecutorSpec) -> str | None:
        """Return the model of the provider that is asked first while the providers serve directly, else None."""
        rows = self.means().settings.servers.direct
        spoken = "anthropic" if spec.row.preset == "claude-code" else "openai"
        first = sorted(self.modes.permit().providers, key=lambda name: dialect_of(name, rows[name]) != spoken)
        return next((rows[name].model_for(task_type) for name in first), None)

    def _limits(self, task: Task, name: str) -> dict[str, Any]:
        """Return what a repair is kept to: the configured commands, and LiteLLM's own word on what they did."""
        if task.spec.type != SYSTEM_REPAIR:
            return {}
        row = self.means().settings.servers.fault_handler.repair
        commands = (row.commands or ()) if row is not None else ()
        return {"commands": commands, "judge": partial(self._judged, task, name)}

    async def _judged(self, task: Task, name: str, outcome: Outcome, tell: Callable[[str], None]) -> Outcome:
        if isinstance(outcome, Failed) and outcome.kind is FailureClass.HANDED_ON:
            others = route_of(task, self.means(), {name: "has handed it on"})
            return outcome if others.executor is not None else nobody_else(outcome)
        if not is_over(outcome) or (name == LADDER and isinstance(outcome, Failed)):  # it has looked itself
            return outcome
        tell("the repair has ended; LiteLLM is asked whether it is back")
        judged = verdict(outcome, await self.modes.verified())
        tell("LiteLLM is back" if isinstance(judged, Completed) else "LiteLLM is still broken")
        return judged

    async def _hear(self, spec: ExecutorSpec, outcome: Outcome) -> None:
        """Take in how a run ended: for the executor's own sake, and for the monitor's where no relay saw its calls."""
        if isinstance(outcome, Completed) and spec.name in self.marks.ill:
            await self.marks.wipe_out(spec.name)
        if not spec.adapter or spec.relayed or not spec.row.needs_cloud:
            return
        if isinstance(outcome, Completed):
            self.modes.saw(Ran(executor=spec.name, verdict=Verdict.OK, said="completed a task"))
        elif outcome.kind is FailureClass.PROVIDER:
            self.modes.saw(Ran(executor=spec.name, verdict=Verdict.UPSTREAM, said=outcome.message))
