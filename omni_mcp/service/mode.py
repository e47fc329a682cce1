"""Say how well the whole is, and set the mode by hand."""

from contextlib import suppress
from datetime import timedelta

from anyio.to_thread import run_sync

from omni_mcp.decide.repair import standing
from omni_mcp.errors import BadRequest, TaskNotFound
from omni_mcp.ledger.base import LEAD, EngineMark, ModeMark
from omni_mcp.presets import mode_setup, repair_plan, resolve
from omni_mcp.service.notices import NoticeVerbs
from omni_mcp.settings import Settings
from omni_mcp.standing import mode_view, note, outages_view, state_of
from omni_mcp.task import LOCAL, Mode
from omni_mcp.views.engine import EngineView
from omni_mcp.views.mode import ModeView, OutagesView

HELD_SHOWN = 10
"""Tasks whose ids the mode shows, of those that wait for the same."""
OVERRIDE_MINUTES = 60.0
"""How long a mode that a person sets holds, unless said otherwise."""
LONGEST_OVERRIDE = 7 * 24 * 60.0
"""Minutes; it ends by itself, because nobody remembers to end it."""
HISTORY = 5
"""Changes of mode that are shown."""
_ADMINS = "shown to who has the scope admin"
_NOT_THEIRS = {"engine": _ADMINS, "settings": _ADMINS, "repair": _ADMINS, "told_by": None, "problems": None}
"""What of the mode whoever is one of many is not shown: paths, processes, people, and tasks that are not theirs."""
CHANGES = 200
"""Changes of mode that are shown where they are asked for."""
MOST_CHANGES = 5000
"""Of them in one answer."""


class ModeVerbs(NoticeVerbs):
    """The mode, and the engine."""

    async def mode(self) -> ModeView:
        """Say how well the whole is: mode and evidence, what is held, engine, executors, problems of the settings."""
        settings = self.settings()
        specs = resolve(settings)
        troubles = await self._troubles()
        counted = None if self._operates else self.principal
        counts = await self.ledger.counts(principal=counted)
        waits = await self.ledger.waits(principal=counted)
        first = await self.ledger.waiting_ids(principal=self._whose, limit=HELD_SHOWN)
        mark = await self.ledger.mode()
        view = mode_view(
            mark,
            mode_setup(settings),
            list(await self.ledger.mode_changes(limit=HISTORY)),
            self.clock.now(),
            repair=await self._repair_text(mark, settings),
            held={wait.value: n for wait, n in waits.items()} or None,
            held_ids={wait.value: ids for wait, ids in first.items()} or None,
            engine=await self._engine_text(mark),
            settings=await run_sync(str, settings),
            open_tasks={state.value: n for state, n in counts.items() if n},
            executors={name: spec.unusable or troubles.get(name, "usable") for name, spec in specs.items()},
            told_by=await self.told_by(),
            problems=[str(problem) for problem in settings.problems] or None,
        )
        return view if self._operates else view.model_copy(update=_NOT_THEIRS)

    async def outages(self, *, limit: int = CHANGES) -> OutagesView:
        """Say when the mode changed, and why. Raises BadRequest."""
        if not 1 <= limit <= MOST_CHANGES:
            raise BadRequest(f"limit {limit} is not in 1..{MOST_CHANGES}", next_step="omni-mcp outages --limit 50")
        changes = await self.ledger.mode_changes(limit=limit + 1)
        return outages_view(await self.ledger.mode(), changes, self.clock.now(), limit=limit)

    async def set_mode(self, mode: Mode | None, *, minutes: float | None = None) -> ModeView:
        """Set a mode for a time, or (None) leave it to the machine again. Raises BadRequest."""
        if mode is None:
            if minutes is not None:
                raise BadRequest("auto has no time limit", next_step="call system_mode with set auto alone")
            await self.ledger.force_mode(None, until=None)
        else:
            until = self.clock.now() + _checked_minutes(OVERRIDE_MINUTES if minutes is None else minutes)
            await self.ledger.force_mode(mode, until=until)
        return await self.mode()

    async def mode_note(self) -> str | None:
        """Return what every answer says while the mode is not normal."""
        return note(await self.ledger.mode(), mode_setup(self.settings()), self.clock.now())

    async def engine(self, seen: EngineView) -> EngineView:
        """Add which settings a running engine reads, and what to do if they are not ours or it does not answer."""
        mark = await self.ledger.engine()
        if mark is None or not (seen.running and mark.settings):
            return seen
        told = (self.engines.trouble, self._unheard(mark, await self.ledger.mode()), self._other_settings(mark))
        return seen.model_copy(
            update={"settings": mark.settings, "note": ". ".join(text for text in told if text) or None}
        )

    async def _repair_text(self, mark: ModeMark, settings: Settings) -> str:
        state = state_of(mark, self.clock.now())
        newest = None
        if state.repairs:
            with suppress(TaskNotFound):  # it may have been purged
                newest = await self.ledger.find(state.repairs[-1].task_id, principal=LOCAL)
        return standing(state, repair_plan(settings), newest, self.clock.now())

    async def _engine_text(self, mode: ModeMark) -> str:
        if self.engines.trouble is not None:
            return self.engines.trouble
        mark = await self.ledger.engine()
        if mark is None or not mark.there or not self.engines.alive:
            return "not running; the next submit_task starts it"
        said = f"pid {mark.pid}, version {mark.version}, log {mark.log}"
        return ". ".join([said, *filter(None, (self._unheard(mark, mode), self._other_settings(mark)))])

    def _unheard(self, engine: EngineMark, mode: ModeMark) -> str | None:
        """Say that an engine which has its lock does not renew what it has to: its right to look at the clouds."""
        if mode.prober != engine.owner or mode.leads_until is None or self.clock.now() <= mode.leads_until:
            return None
        return (
            f"it has given no sign of life since {mode.leads_until - LEAD:%H:%M:%S} UTC; if that lasts: "
            "omni-mcp doctor, or omni-mcp engine restart"
        )


def _checked_minutes(minutes: float) -> timedelta:
    if not 0 < minutes <= LONGEST_OVERRIDE:
        raise BadRequest(
            f"for_minutes {minutes:g} is not between 0 and {LONGEST_OVERRIDE:g} (a week)",
            next_step="call system_mode again with a time in between",
        )
    return timedelta(minutes=minutes)
