"""The monitor: carries out what the mode machine asks for, and keeps what it knows in the ledger.

It probes without spending tokens, hears how real calls end, and writes each change of mode with its notice in one
transaction. So an engine that is killed at any moment leaves a state from which the next one goes on.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.machine import after, due, next_probe_at, taken_up
from omni_mcp.decide.modes.state import (
    Asked,
    Due,
    Forced,
    ModeState,
    Probed,
    Round,
    Seen,
    Setup,
    Tick,
    begin,
    dumped,
    essence,
    in_force,
    loaded,
)
from omni_mcp.decide.permit import Permit, cause_of, meaning, permit
from omni_mcp.decide.repair import NO_REPAIR, RepairPlan, outage_to_repair, spec_of
from omni_mcp.errors import IdempotencyConflict, LedgerError, TaskPurged
from omni_mcp.ledger.base import LEAD, Ledger, ModeMark
from omni_mcp.probes import Probes
from omni_mcp.standing import override_of
from omni_mcp.task import Clock, Mode, new_id

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks at the clock and at what people have set."""
LAST_TRIES = 2
"""Tries of the look at LiteLLM on which a change of mode hangs."""


async def _nothing() -> None:
    pass


@dataclass(kw_only=True)
class Monitor:
    """Watches LiteLLM and the providers, and says what the mode allows. `step` does what is due; `run` repeats it."""

    ledger: Ledger
    setup: Setup
    probes: Probes
    clock: Clock
    owner: str
    is_over: Callable[[str], Awaitable[bool]]
    """Proof that an owner is dead."""
    on_change: Callable[[], None]
    """Called when the mode allows something else than before."""
    channels: Sequence[str] = ()
    """Who is told of a change, besides the log."""
    on_notice: Callable[[], None] = lambda: None
    """Called when there is something to tell."""
    repair: RepairPlan = NO_REPAIR
    on_well: Callable[[], Awaitable[None]] = _nothing
    """Awaited when LiteLLM has answered with its models: what it runs with is good."""
    jitter: Callable[[], float] = lambda: random.uniform(-1, 1)  # noqa: S311 - only spreads the probes
    state: ModeState = field(init=False)
    _saved: ModeState | None = None
    """As it stands in the ledger, without what is not worth a write."""
    _leads_until: datetime | None = None
    _untold: bool = True
    """Whether there may be notices that nobody was told."""
    _news: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        """Begin as if nothing had been seen; `load` knows better."""
        self.state = begin(self.clock.now())

    async def load(self) -> None:
        """Go on from what the engine before us knew."""
        self._take_up(await self.ledger.mode())

    def _take_up(self, mark: ModeMark) -> None:
        known = loaded(mark.state) if mark.state is not None else None
        if known is not None:
            self.state = taken_up(known, self.setup, self.clock.now())

    def refit(self, setup: Setup, probes: Probes, channels: Sequence[str], repair: RepairPlan) -> None:
        """Go on under settings that have changed."""
        self.setup, self.probes, self.channels, self.repair = setup, probes, channels, repair
        self.state = taken_up(self.state, setup, self.clock.now())

    async def run(self) -> None:
        """Watch until cancelled; a ledger that is busy costs a look, not the watch."""
        while True:
            news = self._news
            try:
                await self.step()
            except LedgerError as error:
                logger.warning("the mode is not written yet: %s", error, extra={"action": "mode_not_written"})
                await anyio.sleep(POLL)
                continue
            with anyio.move_on_after(self._pause()):
                await news.wait()

    def _pause(self) -> float:
        """Return the seconds until something is due; who may not probe only follows."""
        at = next_probe_at(self.state, self.setup) if self._leads_until is not None else None
        left = POLL if at is None else (at - self.clock.now()).total_seconds()
        return min(POLL, max(0.0, left))

    async def step(self) -> None:
        """Do what is due; without the right to probe only follow the one who has it."""
        mark = await self.ledger.mode()
        if not await self._leads(mark):
            self._take_up(mark)
            return
        self._hear_people(mark)
        self.saw(Tick())
        await self._save()
        setup = self.setup
        wanted = due(self.state, setup, self.clock.now())
        if wanted.anything:
            seen = await self._look(wanted, self.probes)
            if self.setup is setup:  # else it was seen with settings that hold no more
                self.saw(seen)
                await self._save()
            if wanted.deep and self.state.litellm.answers and self.state.mode is Mode.NORMAL:
                await self._keep()
        await self._ask_for_repair()
        await self._tell()

    def saw(self, seen: Seen) -> None:
        """Take in an observation; what it changes holds at once, and is written soon."""
        now = self.clock.now()
        before = self.permit()
        self.state = after(self.state, seen, self.setup, now=now, jitter=self.jitter())
        if essence(self.state) != self._saved:
            self._news.set()
            self._news = anyio.Event()
        if self.permit() != before:
            self.on_change()

    def permit(self) -> Permit:
        """Say what the mode in force allows now."""
        return permit(self.state, self.setup, self.clock.now())

    @property
    def leads(self) -> bool:
        """Whether this engine has the right to probe, and so to tell."""
        return self._leads_until is not None and self.clock.now() < self._leads_until

    async def verified(self) -> Look:
        """Ask LiteLLM until it answers, or the time that it has after a repair is up."""
        numbers = self.setup.numbers
        with anyio.move_on_after(numbers.confirm_timeout if self.repair.row is None else self.repair.row.grace):
            while True:
                look = await self.probes.litellm(limit=numbers.confirm_timeout, deep=False)
                self.saw(Probed(look=look))
                if look.verdict is Verdict.OK:
                    return look
                await anyio.sleep(numbers.confirm_delay)
        return Look(verdict=Verdict.BROKEN, said=self.state.litellm.said)

    async def _keep(self) -> None:
        try:
            await self.on_well()
        except OSError as error:
            logger.warning("the known-good copy was not kept: %s", error, extra={"action": "known_good_not_kept"})

    async def _leads(self, mark: ModeMark) -> bool:
        """Take or keep the right to probe; that of a dead engine is ours at once."""
        now = self.clock.now()
        held = mark.prober == self.owner and self._leads_until is not None
        if held and self._leads_until is not None and now < self._leads_until - LEAD / 2 <= now + LEAD:
            return True
        other = mark.prober if mark.prober not in (None, self.owner) else None
        over = other if other is not None and await self.is_over(other) else None
        leads = await self.ledger.lead(self.owner, over=over, until=now + LEAD)
        self._leads_until = now + LEAD if leads else None
        return leads

    def _hear_people(self, mark: ModeMark) -> None:
        """Take over what a person has set, or let go of."""
        now = self.clock.now()
        wished = override_of(mark, now)
        if wished != self.state.forced and (wished is None or now < wished.until):
            self.saw(Forced(override=wished))

    async def _look(self, wanted: Due, probes: Probes) -> Seen:
        if not wanted.providers:
            limit = wanted.limit.total_seconds()
            return Probed(look=await probes.litellm(limit=limit, deep=wanted.deep))
        return await self._round(wanted, self.setup, probes)

    async def _round(self, wanted: Due, setup: Setup, probes: Probes) -> Round:
        """Look at everything at once."""
        looks: dict[str, Look] = {}
        last: list[Look] = []

        async def at_provider(name: str) -> None:
            looks[name] = await probes.provider(name, limit=setup.numbers.cloud_check_timeout)

        async def at_litellm() -> None:
            limit = wanted.limit.total_seconds()
            look = _last_look(probes, limit) if wanted.last else probes.litellm(limit=limit, deep=wanted.deep)
            last.append(await look)

        async with anyio.create_task_group() as tasks:
            for name in setup.providers:
                tasks.start_soon(at_provider, name)
            if wanted.litellm:
                tasks.start_soon(at_litellm)
        return Round(providers=looks, litellm=last[0] if last else None)

    async def _save(self) -> None:
        """Write the state if it is worth it; a new mode in force goes into the history, with its notice."""
        state, now = self.state, self.clock.now()
        mode = in_force(state, now)
        if essence(state) == self._saved:
            return
        notice = f"mode {mode}: {cause_of(state, now)}. {meaning(state, self.setup, now)}"
        said = {"state": dumped(state), "cause": cause_of(state, now), "notice": notice}
        kept = await self.ledger.save_mode(self.owner, mode=mode, channels=self.channels, **said)
        if kept:
            self._saved, self._untold = essence(state), True
        else:
            self._leads_until = None

    async def _ask_for_repair(self) -> None:
        """Submit the repair of an outage that is written down; a kill neither doubles nor loses it: see its key."""
        incident = outage_to_repair(self.state, self.repair, self.clock.now())
        if incident is None or self._leads_until is None:
            return
        try:
            spec = spec_of(self.state, self.repair, self.setup)
            task_id = (await self.ledger.submit(spec, task_id=new_id(), choice=None)).task.id
        except (IdempotencyConflict, TaskPurged) as known:  # the engine before us said it in other words
            task_id = known.task_id
        self.saw(Asked(incident=incident, task_id=task_id))
        await self._save()
        self.on_change()

    async def _tell(self) -> None:
        """Tell each notice once in the log; what an engine was killed over is told by the next."""
        if not self._untold:
            return
        for notice in await self.ledger.untold():
            logger.warning("%s", notice.text, extra={"action": "notice", "kind": notice.kind})
            await self.ledger.told(notice.number)
            self.on_notice()
        self._untold = False


async def _last_look(probes: Probes, limit: float) -> Look:
    """Look at LiteLLM; one lost packet must not change the mode."""
    for _ in range(LAST_TRIES - 1):
        look = await probes.litellm(limit=limit, deep=False)
        if look.verdict is not Verdict.BROKEN:
            return look
    return await probes.litellm(limit=limit, deep=False)
