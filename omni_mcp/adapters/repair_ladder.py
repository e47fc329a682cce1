"""The scripted ladder: an executor that brings a broken LiteLLM back without any model, one proven step at a time.

An MCP server over stdio under `contract.py`; start it with `python -m omni_mcp.adapters.repair_ladder`. It looks, asks
`ladder_steps` what comes next, says so, does it, and looks again. What it has begun outlives it, and is found again by
a mark and the journal; so a repair that was killed at any moment may always be done again.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import anyio
from anyio import CancelScope
from anyio.to_thread import run_sync

from omni_mcp import __version__
from omni_mcp.adapters import ladder_hands as hands
from omni_mcp.adapters.known_good import Copy, File, Keeper, lately, read
from omni_mcp.adapters.ladder_keep import keep
from omni_mcp.adapters.ladder_look import Holders, listen_well, look
from omni_mcp.adapters.ladder_notice import notices
from omni_mcp.adapters.ladder_steps import ENDS, STARTS_IN, Act, Cause, Seen, Step, next_step
from omni_mcp.adapters.serving import Ask, Tell, serve
from omni_mcp.contract import CancelResult, Health, RunRef, RunRequest, RunResult, failed
from omni_mcp.processes import is_stopped
from omni_mcp.repair_setup import VARIABLE, LadderSetup
from omni_mcp.task import FailureClass
from omni_mcp.this_machine import leads_here

PACE = 0.5
"""Seconds after each word: the engine writes down what it is told last, every quarter of one, before the deed."""
MOST_STEPS = 20
"""No repair has more; a rule that goes in a circle is our fault, and is not to be somebody's night."""


@dataclass(kw_only=True)
class Repair:
    """One repair, while it lasts."""

    setup: LadderSetup
    tell: Tell
    keeper: Keeper
    """Holds the known-good copy and the journal, in the folder that the engine named."""
    cause: Cause | None = None
    """Why its last start failed."""
    gave_up: bool = False
    """Whether the known-good copy has been tried in vain."""
    trail: list[str] = field(default_factory=list[str])
    """What was done, why, and what came of it."""

    async def run(self) -> RunResult:
        """Go on step by step until one of them is the last."""
        for _ in range(MOST_STEPS):
            seen, holders, file = await self._seen()
            step = next_step(seen)
            await self._say(f"{step.act}: {step.why}")
            if step.act in ENDS:
                return await self._end(step, holders, file)
            try:
                await self._do(step, holders, file)
            except OSError as error:
                return self._failed(FailureClass.TASK, f"{step.act} could not be done: {error}", "see to its folder")
        return self._failed(FailureClass.HANDED_ON, f"{MOST_STEPS} steps did not bring it back", None)

    async def _say(self, line: str) -> None:
        self.trail.append(f"{datetime.now(UTC):%H:%M:%S} {line}")
        await self.tell(line)
        await anyio.sleep(PACE)

    async def _seen(self) -> tuple[Seen, Holders, File | None]:
        setup = self.setup
        heard = await listen_well(setup)
        holders = await run_sync(look, setup)
        file = None if setup.config is None else await run_sync(read, setup.config)
        journal = await run_sync(self.keeper.journal)
        known, lacks = await run_sync(self._copy, file)
        seen = Seen(
            door=heard.door,
            said=heard.said,
            port=setup.port,
            own=holders.said,
            age=holders.age,
            paused=any(is_stopped(process.pid) for process in holders.own),
            others=", ".join(holders.others) or None,
            keeper=setup.restart is not None,
            local=leads_here(setup.base_url),
            command=setup.command,
            flaw=None if file is None else file.flaw,
            copy=None if known is None else f"{known.at:%Y-%m-%d %H:%M} UTC",
            no_copy=lacks,
            cause=self.cause,
            starts=len(lately(journal.starts, datetime.now(UTC), STARTS_IN)),
            restored=journal.broken is not None,
            grace=setup.grace,
        )
        return seen, holders, file

    def _copy(self, file: File | None) -> tuple[Copy | None, str]:
        """Return what may take the place of the file, or why there is nothing."""
        if file is None:
            return None, "no `config` names its file"
        if self.gave_up:
            return None, "the known-good copy of it has been tried in vain"
        return self.keeper.copy(file)

    async def _do(self, step: Step, holders: Holders, file: File | None) -> None:
        match step.act:
            case Act.WAIT:
                heard = await hands.until_settled(self.setup, list(holders.own), age=holders.age)
                await self._say(f"waited: {heard.said}")
            case Act.END:
                left = await run_sync(hands.end, list(holders.own))
                await self._say(f"still there: {', '.join(left)}" if left else "it is gone")
                if left:
                    raise OSError(f"{', '.join(left)} cannot be ended")
            case Act.RESTORE if file is not None:
                await self._restore(file)
            case Act.ROLL_BACK if file is not None:
                await run_sync(self.keeper.roll_back, file)
                self.gave_up = True
                await self._say("the file is as it was")
            case _:
                await self._start()

    async def _restore(self, file: File) -> None:
        known, _lacks = await run_sync(self.keeper.copy, file)
        aside = None if known is None else await run_sync(self.keeper.restore, file, known)
        self.cause = None
        await self._say(f"restored {file.path}" + (f"; what was there is {aside}" if aside else ""))

    async def _start(self) -> None:
        """Note the start, then do it, then wait for what comes of it."""
        journal = await run_sync(self.keeper.journal)
        starts = (*lately(journal.starts, now := datetime.now(UTC), STARTS_IN), now)
        await run_sync(self.keeper.write, journal.model_copy(update={"starts": starts}))
        started = await run_sync(partial(hands.begin, self.setup, self.keeper.log))
        try:
            self.cause = await hands.until_up(self.setup, started)
        except anyio.get_cancelled_exc_class():
            if self.setup.restart is not None and started.process.poll() is None:
                with CancelScope(shield=True):
                    await run_sync(hands.cut_off, self.setup, started)
            raise
        await self._say("it serves" if self.cause is None else f"it does not serve: {self.cause.said}")

    async def _end(self, step: Step, holders: Holders, file: File | None) -> RunResult:
        match step.act:
            case Act.DONE:
                for line in await run_sync(self._settled, holders, file):
                    await self._say(f"noticed: {line}")
                return RunResult(status="completed", text="\n".join(self.trail), notes={"steps": self.trail})
            case Act.REFUSE:
                return self._failed(FailureClass.TASK, step.why, step.fix)
            case _:
                return self._failed(FailureClass.HANDED_ON, step.why, step.fix)

    def _settled(self, holders: Holders, file: File | None) -> list[str]:
        """Keep what is known to be good now, and return what is not. Blocks."""
        try:
            self.keeper.settle()
            keep(self.setup, self.keeper)
        except OSError as error:
            return [f"the known-good copy was not kept: {error}"]
        return list(notices(self.setup, file.tree if file else {}, next(iter(holders.own), None)))

    def _failed(self, kind: FailureClass, message: str, fix: str | None) -> RunResult:
        return failed(kind, message, fix=fix, text="\n".join(self.trail))


class Ladder:
    """Repairs one LiteLLM; one repair at a time."""

    def __init__(self, setup: LadderSetup) -> None:
        self._setup = setup
        self._runs: dict[str, CancelScope] = {}
        self._one = anyio.Lock()

    async def run(self, request: RunRequest, tell: Tell, ask: Ask) -> RunResult:
        """Repair it; every end is a result."""
        repair = Repair(setup=self._setup, tell=tell, keeper=Keeper(self._setup.folder))
        with CancelScope() as scope:
            self._runs[request.run_id] = scope
            try:
                async with self._one:
                    return await repair.run()
            finally:
                del self._runs[request.run_id]
        said = "\n".join([*repair.trail, "stopped on request; what was started goes on"])
        return RunResult(status="failed", failure=FailureClass.CANCELLED, message="stopped on request", text=said)

    async def cancel(self, ref: RunRef) -> CancelResult:
        """Stop a repair between two steps; a LiteLLM that it has started is no part of it, and stays."""
        if (scope := self._runs.get(ref.run_id)) is not None:
            scope.cancel()
        return CancelResult(stopped=True)

    async def health(self) -> Health:
        """Say what it would start."""
        command = self._setup.command or "nothing"
        return Health(ok=True, version=__version__, detail=f"brings LiteLLM back by: {command}")


def setup_in(environment: Mapping[str, str]) -> LadderSetup:
    """Return what the engine said."""
    return LadderSetup.model_validate_json(environment[VARIABLE])


def main() -> None:
    """Serve over stdio until stdin ends."""
    serve("repair-ladder", Ladder(setup_in(os.environ)))


if __name__ == "__main__":
    main()
