"""What faces may ask for. Needs the ledger, never an executor: it writes what is wanted and reads what became of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio.to_thread import run_sync

from omni_mcp import scheduled
from omni_mcp.costs import begins, costs_view
from omni_mcp.decide.answering import check_answer
from omni_mcp.decide.budgets import check_amount
from omni_mcp.decide.options import MACHINE, check_options, refusal
from omni_mcp.decide.permit import Permit, permit
from omni_mcp.decide.recovery import bound_to
from omni_mcp.decide.repair import standing
from omni_mcp.decide.resuming import Resumption, resumption
from omni_mcp.decide.routing import Route, route
from omni_mcp.decide.times import in_words, point, span
from omni_mcp.dispatch.base import Dispatch
from omni_mcp.errors import (
    BadRequest,
    ForPeople,
    QuestionGone,
    ScheduleUnknown,
    TaskNotFound,
    TransitionRefused,
    UnknownExecutor,
)
from omni_mcp.excerpt import joined
from omni_mcp.ledger.base import LEAD, EngineMark, Ledger, ModeMark, OwedMemory, ResultPage, ResultPart
from omni_mcp.lineage import Lineage
from omni_mcp.notify.channels import channels_of, told_by
from omni_mcp.presets import ExecutorSpec, candidates, mode_setup, model_of, repair_plan, resolve, routed
from omni_mcp.processes import Origin
from omni_mcp.question import Answer, Question
from omni_mcp.servers_file.schedules import ScheduleRow
from omni_mcp.settings import Settings
from omni_mcp.standing import mode_view, note, outages_view, state_of
from omni_mcp.task import (
    ENDS_BY_ITSELF,
    LOCAL,
    PARTIAL,
    SYSTEM_REPAIR,
    Choice,
    Clock,
    Mode,
    SystemClock,
    Task,
    TaskSpec,
    TaskState,
    WaitingFor,
    new_id,
)
from omni_mcp.views.attempts import AttemptsView, StoryView, attempts_view
from omni_mcp.views.costs import CostsView
from omni_mcp.views.engine import EngineView
from omni_mcp.views.executors import ExecutorView, RouteView
from omni_mcp.views.ledger import PurgeView
from omni_mcp.views.memory import ForgottenView, MemoriesView, memory_view
from omni_mcp.views.mode import ModeView, OutagesView
from omni_mcp.views.question import QuestionView, question_view
from omni_mcp.views.result import ResultView
from omni_mcp.views.resume import ResumedView, ResumeView
from omni_mcp.views.schedules import DueView, SchedulesView, ScheduleView
from omni_mcp.views.task import ListView, TaskView, task_view

WAIT_LIMIT = 50
"""Seconds that a call may wait: below the time-outs of the clients (Claude Desktop cuts at about 60 s)."""
CANCEL_LIMIT = 25
"""Seconds that `cancel` waits for the confirmation."""
RESULT_PAGE = 20_000
"""Characters of a result in one page, unless asked for otherwise."""
SUMMARY = 600
"""Characters of the head of a result that status shows; of its tail a quarter of them."""
RESUMED_SHOWN = 50
"""Tasks that one answer of `resume` shows, where none were named."""
QUESTIONS_SHOWN = 3
"""Open questions that a status shows; the next ones come when these are answered."""
QUESTION_SHOWN = 2000
"""Characters of one of them."""
LOOK = timedelta(seconds=1)
"""Between two looks whether a question is still open, where nothing else is written."""
HELD_SHOWN = 10
"""Tasks whose ids the mode shows, of those that wait for the same."""
WAITING_PAGE = 500
"""Waiting tasks that are read at a time."""
PRIORITIES = range(-100, 101)
EVENTS = 100
"""Lines of history in one answer."""
OVERRIDE_MINUTES = 60.0
"""How long a mode that a person sets holds, unless said otherwise."""
LONGEST_OVERRIDE = 7 * 24 * 60.0
"""Minutes; it ends by itself, because nobody remembers to end it."""
HISTORY = 5
"""Changes of mode that are shown."""
_ADMINS = "shown to who has the scope admin"
_NOT_THEIRS = {"engine": _ADMINS, "settings": _ADMINS, "repair": _ADMINS, "told_by": None, "problems": None}
"""What of the mode whoever is one of many is not shown: paths, processes, people, and tasks that are not theirs."""
NO_MEMORY = "memory.kind is none in servers.yaml: nothing is remembered or recalled"
SERVER_HAS_IT = "the memory is the MCP server of `memory` in servers.yaml: what that has taken is not shown here"
CHANGES = 200
"""Changes of mode that are shown where they are asked for."""
MOST_CHANGES = 5000
"""Of them in one answer."""
ATTEMPTS = 50
"""Attempts that are shown of one task."""


def _outside() -> Origin | None:
    """Return that nobody's run asks."""
    return None


class Engines(Protocol):
    """Who sees to it that an engine is alive."""

    @property
    def alive(self) -> bool:
        """Whether one has the lock of the home."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why none comes up, or why the one that is there does nothing."""
        ...

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start one if none is alive; returns what there is to say about that, None when one was alive.

        One is started also beside an engine that was `seen` to have said goodbye, or to be of an older release.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The one way in for faces."""

    ledger: Ledger
    settings: Callable[[], Settings]
    """What holds now: the file may change while we run."""
    dispatch: Dispatch
    engines: Engines
    principal: str = LOCAL
    """Whose tasks are submitted, and shown."""
    machine: str | None = ""
    """By which name tasks are placed on this machine; None: no engine is here, so nobody can work in its folders."""
    admin: bool = False
    """Whether the tasks of all are shown, and may be acted on; what is submitted stays the principal's own."""
    clock: Clock = field(default_factory=SystemClock)
    origin: Callable[[], Origin | None] = _outside
    """Says whose run this process belongs to; blocks."""

    async def submit(self, spec: TaskSpec, *, client: str | None = None) -> TaskView:
        """Write a task down, durable before the answer, and have it run. Raises BadRequest, LedgerError.

        `client` is how an MCP client calls itself.
        """
        settings = self.settings()
        spec = _checked(spec, settings)
        spec = replace(
            spec,
            principal=self.principal,
            deadline=self._deadline(spec.deadline_said),
            ancestors=await self._ancestors(settings, client),
        )
        placed = self._placed(spec)
        specs = resolve(settings)
        found = _preview(spec, settings, specs)
        _check_allowed(spec, found, settings)
        _check_kept(spec, found, specs)
        submitted = await self.ledger.submit(spec, task_id=new_id(), choice=_choice(spec, settings, found, specs))
        engine = await self._ring(submitted.task.id, submitted.engine, machine=placed)
        task = submitted.task
        told = await self._told(task)
        view = task_view(task, deduplicated=submitted.deduplicated or None, engine=engine, **told)
        return (
            view.model_copy(update={"requested": found.requested, "reason": found.reason}) if not view.reason else view
        )

    async def row(self, task_id: str) -> Task:
        """Return a task as the ledger has it. Raises TaskNotFound, for a beginning of an id, too."""
        task = await self._find(task_id)
        if task.id != task_id:
            raise TaskNotFound(task_id)
        return task

    async def status(self, task_id: str, *, wait_seconds: float = 0, since_seq: int | None = None) -> TaskView:
        """Say where a task stands; with `wait_seconds` when it is over, waits, or has news after `since_seq`.

        One that waits already for what ends by itself is waited for, too, or callers would ask without end. Below zero
        `since_seq` means the newest so many lines of its history.
        """
        task = await self._find(task_id)
        task = await self._settled(task, wait_seconds, since_seq=since_seq)
        more = await self._told(task)
        if since_seq is None:
            return task_view(task, engine=None if task.terminal else self.engines.trouble, **more)
        found = await self.ledger.events(task.id, since_seq=since_seq, limit=EVENTS + 1)
        events = found[:EVENTS]
        next_seq = events[-1].seq if len(found) > EVENTS else None
        trouble = None if task.terminal else self.engines.trouble
        return task_view(task, events=events, next_seq=next_seq, engine=trouble, **more)

    async def result(
        self, task_id: str, *, offset: int = 0, limit: int = RESULT_PAGE, part: ResultPart = "text"
    ) -> ResultView:
        """Return a page of a part of the result. Raises BadRequest while the task is open."""
        task = await self._find(task_id)
        inline = RESULT_PAGE if (offset, part) == (0, "text") else 0
        page = await self.ledger.result_page(task.id, offset=offset, limit=limit, part=part, inline=inline)
        if page is None and part == "text":
            page = _produced(task, offset, offset + limit)
        if page is None:
            raise BadRequest(
                f"task {task.id} is {task.state} and has no result yet",
                next_step=f"call task_status with task_id {task.id!r} and wait_seconds {WAIT_LIMIT}",
            )
        return _result_view(task, page, part, offset=offset, end=offset + limit)

    async def list(self, *, states: Sequence[TaskState] = (), limit: int = 20, cursor: str | None = None) -> ListView:
        """Return short rows, newest first."""
        page = await self.ledger.page(principal=self._whose, states=states, limit=limit, cursor=cursor)
        rows = [task_view(task, whole=False, **self._silence(task)) for task in page.tasks]
        onward = "call list_tasks again with this cursor" if page.cursor else None
        return ListView(tasks=rows, cursor=page.cursor, next_step=onward)

    async def cancel(self, task_id: str, *, reason: str | None = None, limit: float = CANCEL_LIMIT) -> TaskView:
        """Stop a task; returns when that is confirmed, or after `limit` seconds with what is known then.

        Where its run lives elsewhere an engine tells it to stop first; a second request does not wait for that.
        """
        task = await self._find(task_id)
        recoveries = {name: spec.recovery for name, spec in resolve(self.settings()).items()}
        lives = task.cancel_requested_at is None and bound_to(task, recoveries) is not None
        task = await self.ledger.request_cancel(task.id, reason=reason, lives=lives)
        if not task.terminal:
            await self._wake(task.id)
            task = await self._until(task, lambda seen: seen.terminal, limit)
        if task.terminal:
            return task_view(task)
        left = f"{task.served_by or 'the engine'} has not confirmed within {limit:.0f} s; it goes on stopping"
        return task_view(task, text=left, engine=self.engines.trouble)

    async def retry(self, task_id: str, *, deadline: str | None = None) -> TaskView:
        """Try a task again that did not complete, as a new task. Raises BadRequest."""
        task = await self._find(task_id)
        if not task.terminal or task.state is TaskState.COMPLETED:
            raise BadRequest(
                f"task {task.id} is {task.state}; only one that failed or was cancelled is tried again",
                next_step=f"omni-mcp status {task.id}; a waiting one goes on with omni-mcp resume {task.id}",
            )
        return await self.submit(replace(task.spec, retry_of=task.id, deadline_said=deadline, trace=None))

    async def purge(self, older_than: str, *, dry_run: bool = False) -> PurgeView:
        """Remove tasks that were over before that span of time, with all that belongs to them. Raises BadRequest."""
        try:
            before = self.clock.now() - span(older_than)
        except (ValueError, OverflowError) as error:
            raise BadRequest(str(error), next_step="omni-mcp purge --older-than 30d") from error
        count = await self.ledger.purgeable(before)
        gone = count if dry_run else await self._purged(before)
        kept = f"idempotency keys, costs, memories, and the working folders in {self.settings().home.work}"
        return PurgeView(dry_run=dry_run, tasks=gone, before=before, kept=kept)

    async def answer(self, task_id: str, question_id: str, answer: Answer, *, person: bool) -> TaskView:
        """Answer a question of an executor, as a person or for a client. The first answer wins.

        Raises QuestionGone, ForPeople, and BadRequest for what does not fit the question.
        """
        task = await self._find(task_id)
        question = await self._question(task, question_id)
        if question.for_people and not (person and await run_sync(self.origin) is None):
            raise ForPeople(task.id, question.id)
        check_answer(question.asked, answer, limit=self.settings().servers.limits.description_bytes)
        by = "person" if person else "client"
        task = await self.ledger.answer(task.id, question.id, answer=answer, by=by)
        engine = await self._wake(task.id)
        return task_view(task, engine=engine, **await self._told(task))

    async def questions(self, task_id: str) -> Sequence[QuestionView]:
        """Return the open questions of a task, uncut."""
        task = await self._find(task_id)
        return [question_view(each) for each in await self.ledger.questions(task.id) if each.open]

    async def closed(self, task_id: str, question_id: str) -> None:
        """Wait until a question is open no more: answered by somebody, or taken back."""
        while True:
            seen = await self.ledger.watermark()
            if all(each.question_id != question_id for each in await self.questions(task_id)):
                return
            await self.ledger.changed(seen, timeout=LOOK)

    async def _question(self, task: Task, question_id: str) -> Question:
        wanted = question_id.strip().lower()
        found = [each for each in await self.ledger.questions(task.id) if each.id == wanted and each.open]
        if not found:
            raise QuestionGone(task.id, question_id)
        return found[0]

    async def resume(
        self, task_ids: Sequence[str] | None, *, add_budget_usd: float | None = None, dry_run: bool = False
    ) -> ResumeView:
        """Let waiting tasks go on: those named, which is the consent for one attempt each, else all that need none.

        `add_budget_usd` raises the budget of each. Raises TaskNotFound, TaskAmbiguous, BadRequest, before anything is
        let go.
        """
        named = bool(task_ids)
        _check_raise(add_budget_usd, named=named)
        found = {task.id: task for task in [await self._find(i) for i in task_ids or ()]} if named else None
        waiting = list(found.values()) if found is not None else await self._waiting()
        decided = zip(waiting, await self._resumptions(waiting, named=named, add=add_budget_usd), strict=True)
        resume_one = partial(self._resume_one, named=named, add=add_budget_usd, dry_run=dry_run)
        done = [await resume_one(task, each) for task, each in decided]
        counts = Counter(each.action for each in done)
        resumed = next((each.task_id for each in done if each.action == "resumed"), None)
        return ResumeView(
            dry_run=dry_run,
            counts=dict(counts),
            tasks=done if named else done[:RESUMED_SHOWN],
            engine=None if resumed is None else await self._wake(resumed),
            next_step=_after_resume(counts),
        )

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

    async def story(self, task_id: str, *, wait_seconds: float = 0, since_seq: int | None = None) -> StoryView:
        """Say where a task stands, with its attempts; the arguments are those of `status`."""
        task = await self.status(task_id, wait_seconds=wait_seconds, since_seq=since_seq)
        return StoryView.model_validate({**dict(task), "attempts": (await self.attempts(task.task_id)).attempts})

    async def attempts(self, task_id: str) -> AttemptsView:
        """Say how a task came to where it stands, attempt by attempt."""
        task = await self._find(task_id)
        return attempts_view(task, await self.ledger.attempts(task.id, limit=ATTEMPTS))

    async def outages(self, *, limit: int = CHANGES) -> OutagesView:
        """Say when the mode changed, and why. Raises BadRequest."""
        if not 1 <= limit <= MOST_CHANGES:
            raise BadRequest(f"limit {limit} is not in 1..{MOST_CHANGES}", next_step="omni-mcp outages --limit 50")
        changes = await self.ledger.mode_changes(limit=limit + 1)
        return outages_view(await self.ledger.mode(), changes, self.clock.now(), limit=limit)

    async def costs(self, *, days: int | None = None, since: str | None = None, cells: bool = False) -> CostsView:
        """Say what everything cost, since a day or for so many days, today included. Raises BadRequest.

        With `cells` also for each day, executor and model together.
        """
        return await costs_view(
            self.ledger,
            self.settings().servers,
            principal=None if self._operates else self.principal,
            since=begins(self.clock.now(), days=days, since=since),
            now=self.clock.now(),
            cells=cells,
        )

    async def schedules(self) -> SchedulesView:
        """Say which schedules there are, how they stand, and when they are due next."""
        servers = self.settings().servers
        shown = await scheduled.views(self.ledger, servers.schedules, now=self.clock.now())
        needs = servers.scheduled and not self.engines.alive
        return SchedulesView(schedules=shown, engine=scheduled.NO_ENGINE if needs else None)

    async def run_schedule(self, name: str) -> TaskView:
        """Run the task of a schedule now, due or not. Raises ScheduleUnknown, ScheduleRunning."""
        row, plan = await self._scheduled(name)
        spec = scheduled.spec_of(name, row, None, self.clock.now())
        submitted = await self.ledger.run_schedule(name, plan=plan, spec=spec, task_id=new_id())
        engine = await self._ring(submitted.task.id, submitted.engine)
        return task_view(submitted.task, engine=engine, **await self._told(submitted.task))

    async def pause_schedule(self, name: str, *, paused: bool) -> ScheduleView:
        """Pause a schedule, or let it go on from now. Raises ScheduleUnknown."""
        row, plan = await self._scheduled(name)
        engine = await self.ledger.pause_schedule(name, plan=plan, paused=paused)
        if row.enabled and not paused:
            await self.engines.ensure(engine)
        [view] = await scheduled.views(self.ledger, {name: row}, now=self.clock.now())
        return view

    async def due_times(self, name: str, *, count: int) -> DueView:
        """Say when a schedule is due next. Raises ScheduleUnknown."""
        row, _plan = await self._scheduled(name)
        return await run_sync(partial(scheduled.due_view, name, row, now=self.clock.now(), count=count))

    async def _scheduled(self, name: str) -> tuple[ScheduleRow, str]:
        rows = self.settings().servers.schedules
        if name not in rows:
            raise ScheduleUnknown(name, sorted(rows))
        return rows[name], await run_sync(scheduled.plan_here, rows[name])

    async def memories(self, text: str | None = None, *, limit: int) -> MemoriesView:
        """Return what completed tasks have left, the newest first; with a text those nearest to it."""
        found = [memory_view(each) for each in await self.ledger.memories(text, principal=self._whose, limit=limit)]
        if text is None:
            owed = await self.ledger.owed_memories(principal=self._whose, limit=limit)
            found = [*(memory_view(each.memory, not_taken=_not_taken(each)) for each in owed), *found][:limit]
        return MemoriesView(memories=found, note=_elsewhere(self.settings().servers.memory.kind))

    async def forget(self, task_id: str) -> ForgottenView:
        """Remove the memory of a task. Raises MemoryUnknown, TaskAmbiguous."""
        return ForgottenView(task_id=await self.ledger.forget(task_id, principal=self._whose))

    async def told_by(self) -> dict[str, str]:
        """Say who is told of changes of mode, and how that went last."""
        settings, last = self.settings(), await self.ledger.last_deliveries()
        return await run_sync(told_by, settings.servers.notify, last, str(settings.home.engine_log))

    async def given_up(self) -> dict[str, str]:
        """Say what each channel never took."""
        found = await self.ledger.given_up()
        return {name: f"{n} notices, the last {at:%Y-%m-%d %H:%M} UTC: {why}" for name, (n, at, why) in found.items()}

    async def send_again(self) -> int:
        """Owe the channels that there are what was given up, for one more try; returns how many notices."""
        channels = await run_sync(channels_of, self.settings().servers.notify)
        count = await self.ledger.send_again(channels)
        if count:
            await self.engines.ensure(await self.ledger.engine())
        return count

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

    def executors(self) -> Sequence[ExecutorView]:
        """Return the executors as configured."""
        return [executor_view(spec) for spec in resolve(self.settings()).values()]

    async def executors_seen(self) -> Sequence[ExecutorView]:
        """Return the executors as configured and as last seen at work."""
        troubles = await self._troubles()
        return [
            view.model_copy(update={"usable": False, "detail": view.detail or troubles[view.name]})
            if view.name in troubles
            else view
            for view in self.executors()
        ]

    def types(self) -> Sequence[str]:
        """Return the types of tasks that somebody here handles, or a rule names."""
        settings = self.settings()
        handled = [name for spec in resolve(settings).values() for name in sorted(spec.handles)]
        ruled = [rule.type for rule in settings.servers.routing.rules if rule.type]
        return [name for name in dict.fromkeys([*handled, *ruled]) if name != SYSTEM_REPAIR]

    async def explain(self, spec: TaskSpec) -> RouteView:
        """Say where a task would go, and why, without submitting it."""
        settings = self.settings()
        _check_executor(spec, settings)
        specs = resolve(settings)
        found = route(spec, settings.servers.routing, candidates(specs, await self._troubles(), spec.options))
        model = model_of(specs.get(found.executor or ""), settings, asked=spec.model, task_type=found.type)
        return RouteView(
            requested=found.requested,
            executor=found.executor,
            type=found.type,
            model=model,
            reason=found.reason,
            steps=list(found.steps),
        )

    async def _troubles(self) -> Mapping[str, str]:
        """Return what is wrong with executors as last seen at work, by name."""
        return {name: seen.detail for name, seen in (await self.ledger.health()).items() if not seen.usable}

    async def _purged(self, before: datetime) -> int:
        gone = 0
        while count := await self.ledger.purge(before):
            gone += count
        return gone

    def _deadline(self, said: str | None) -> datetime | None:
        if said is None:
            return None
        try:
            return point(said, self.clock.now())
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"deadline {error}", next_step='call submit_task again with deadline "2h"') from error

    async def _ancestors(self, settings: Settings, client: str | None) -> tuple[str, ...]:
        """Return the tasks that this call comes from inside of: the loop guard. Raises TooDeep."""
        lineage = Lineage(
            ledger=self.ledger,
            principal=self.principal,
            executors=settings.servers.executors,
            limit=settings.servers.limits.max_depth,
        )
        return await lineage.ancestors(await run_sync(self.origin), client)

    async def _told(self, task: Task) -> dict[str, Any]:
        """Return what of a task is not in its row: what it waits for now, and for how long its executor is silent."""
        if task.waiting_for is WaitingFor.DEPENDENCY:
            needs = await self.ledger.needs(task.id)
            left = [f"{name} ({state})" for name, state in needs.items() if state is not TaskState.COMPLETED]
            return {"text": f"runs after {len(needs)} tasks, not yet completed: {', '.join(left)}"}
        if task.waiting_for is WaitingFor.INPUT:
            asked = [each for each in await self.ledger.questions(task.id) if each.open]
            return {"questions": [question_view(each, limit=QUESTION_SHOWN) for each in asked[:QUESTIONS_SHOWN]]}
        return {**self._silence(task), "summary": await self._summary(task)}

    async def _summary(self, task: Task) -> str | None:
        """Return head and tail of the result of a completed task."""
        if task.state is not TaskState.COMPLETED:
            return None
        page = await self.ledger.result_page(task.id, limit=SUMMARY)
        if page is None or page.total_chars <= SUMMARY:
            return page and page.text
        end = await self.ledger.result_page(task.id, offset=page.total_chars - SUMMARY // 4, limit=SUMMARY // 4)
        tail = (end.text if end else "")[-(page.total_chars - SUMMARY) :]  # never what the head shows
        return joined(page.text, tail, page.total_chars, rest="; task_result has them")

    def _silence(self, task: Task) -> dict[str, Any]:
        if task.state is not TaskState.EXECUTING:
            return {}
        silent = max(self.clock.now() - task.last_sign, timedelta())
        limit = self.settings().servers.limits.silent_seconds
        told = {"text": f"silent for {in_words(silent)}"} if silent.total_seconds() >= limit else {}
        return {"silent": int(silent.total_seconds()), **told}

    def _placed(self, spec: TaskSpec) -> str | None:
        """Return the label of the machine that a task is for, if it is for one. Raises BadRequest: nobody is there."""
        if (named := spec.options.get(MACHINE)) is not None or spec.cwd is None:
            return named
        if self.machine is None:
            raise BadRequest(
                f"no engine works on this machine, so {spec.cwd} is nobody's folder here",
                next_step='call again with the machine whose folder it is, options {"machine": "NAME"}, or without cwd',
            )
        return self.machine

    async def _find(self, task_id: str) -> Task:
        return await self.ledger.find(task_id, principal=self._whose)

    @property
    def _whose(self) -> str | None:
        """Whose tasks are shown; None: everybody's."""
        return None if self.admin else self.principal

    @property
    def _operates(self) -> bool:
        """Whether the whole may be shown: what everybody's tasks cost, where files are, what is wrong with them."""
        return self.admin or self.principal == LOCAL

    async def _wake(self, task_id: str) -> str | None:
        """Ring the engine, or start one; returns what there is to say about it."""
        return await self._ring(task_id, await self.ledger.engine())

    async def _ring(self, task_id: str, engine: EngineMark | None, *, machine: str | None = None) -> str | None:
        there = engine is not None and engine.there
        self.dispatch.nudge(engine.address if engine is not None and there else None, task_id, machine=machine)
        started = await self.engines.ensure(engine)
        return started or self.engines.trouble or self._other_settings(engine)

    async def _settled(self, task: Task, wait_seconds: float, *, since_seq: int | None = None) -> Task:
        if since_seq is not None and await self.ledger.events(task.id, since_seq=since_seq, limit=1):
            return task
        told = since_seq is not None
        start = task

        def news(seen: Task) -> bool:
            moved = seen.state is not start.state or seen.attempt != start.attempt
            known = seen.waiting_for in ENDS_BY_ITSELF and seen.waiting_for is start.waiting_for
            return seen.terminal or (seen.state is TaskState.WAITING and not known) or (told and moved)

        return await self._until(task, news, min(wait_seconds, WAIT_LIMIT))

    async def _until(self, task: Task, done: Callable[[Task], bool], limit: float) -> Task:
        """Read the task until `done`, or until the time is up: both are normal answers.

        What is written is found by looking; the engine is asked to ring as well, which is sooner.
        """
        with anyio.move_on_after(limit):
            engine = None if done(task) else await self.ledger.engine()
            while not done(task):
                if engine is not None:
                    self.dispatch.ask_back(engine.address, task.id)
                seen = await self.ledger.watermark()
                task = await self._find(task.id)
                if not done(task):
                    await self.ledger.changed(seen, timeout=timedelta(seconds=limit))
        return task

    async def _waiting(self) -> Sequence[Task]:
        """Return what waits, by priority, then the oldest."""
        tasks: list[Task] = []
        cursor = None
        while True:
            page = await self.ledger.page(
                principal=self._whose, states=[TaskState.WAITING], limit=WAITING_PAGE, cursor=cursor
            )
            tasks.extend(page.tasks)
            if (cursor := page.cursor) is None:
                oldest_first = tasks[::-1]
                return sorted(oldest_first, key=lambda task: -task.spec.priority)

    async def _resume_one(
        self, task: Task, found: Resumption, *, named: bool, add: float | None, dry_run: bool
    ) -> ResumedView:
        action, text = ("would resume" if dry_run else "resumed"), found.text
        if not found.goes:
            action = "left alone"
        elif not dry_run:
            try:
                await self.ledger.resume(task.id, consent=named, add_budget_usd=add)
            except TransitionRefused as error:
                action, text = "left alone", error.message
        return ResumedView(task_id=task.id, waiting_for=task.waiting_for, action=action, text=text)

    async def _resumptions(self, tasks: Sequence[Task], *, named: bool, add: float | None) -> Sequence[Resumption]:
        """Decide on each task by the mode and the settings of now; what is held against executors is not believed."""
        settings, now = self.settings(), self.clock.now()
        specs = resolve(settings)
        allowed = permit(state_of(await self.ledger.mode(), now), mode_setup(settings), now)

        def decided(task: Task) -> Resumption:
            found = routed(task, specs, settings.servers.routing, {})
            held = _held(allowed, specs.get(found.executor or ""))
            return resumption(task, found, named=named, held=held, add_budget_usd=add)

        return [decided(task) for task in tasks]

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

    def _other_settings(self, engine: EngineMark | None) -> str | None:
        """Say that the engine that is there reads another settings file than this face, and what to do."""
        home = self.settings().home
        if not self._operates or engine is None or not engine.there or engine.settings in ("", str(home.servers)):
            return None
        config = f" --config {home.config}" if home.config else ""
        return (
            f"the engine (pid {engine.pid}) reads {engine.settings}, this face {home.servers}: tasks run by the "
            f"engine's. To have it read this one: omni-mcp engine restart --home {home.root}{config}"
        )


def _held(allowed: Permit, spec: ExecutorSpec | None) -> str | None:
    """Return why the mode lets nothing run there now."""
    if spec is None or allowed.admits(needs_cloud=spec.row.needs_cloud, relayed=spec.relayed) != 0:
        return None
    return allowed.held


def _check_raise(add_budget_usd: float | None, *, named: bool) -> None:
    """Refuse to raise budgets of tasks that nobody named, or by what is no amount."""
    check_amount("add_budget_usd", add_budget_usd)
    if add_budget_usd is not None and not named:
        raise BadRequest("add_budget_usd needs task_ids", next_step="call resume_pending with both")


def _after_resume(counts: Mapping[str, int]) -> str:
    if counts.get("would resume"):
        return "the same resume_pending without dry_run does it"
    return "task_status with wait_seconds=50" if counts.get("resumed") else "list_tasks with state waiting"


def _checked_minutes(minutes: float) -> timedelta:
    if not 0 < minutes <= LONGEST_OVERRIDE:
        raise BadRequest(
            f"for_minutes {minutes:g} is not between 0 and {LONGEST_OVERRIDE:g} (a week)",
            next_step="call system_mode again with a time in between",
        )
    return timedelta(minutes=minutes)


def _checked(spec: TaskSpec, settings: Settings) -> TaskSpec:
    """Refuse what cannot be a task, in words that name the next call; what says nothing is as good as left away."""
    spec = _without_blanks(spec)
    limit = settings.servers.limits.description_bytes
    size = len(spec.description.encode(errors="surrogatepass"))
    if not spec.description.strip():
        raise BadRequest("description is empty", next_step="call submit_task with what is to be done")
    if size > limit:
        raise BadRequest(
            f"description has {size} bytes, the limit is {limit}",
            next_step="call submit_task with the material in a file below cwd, which the description names",
        )
    if spec.priority not in PRIORITIES:
        raise BadRequest(f"priority {spec.priority} is not in -100..100", next_step="call submit_task with one that is")
    if spec.type == SYSTEM_REPAIR:
        raise BadRequest("system_repair is the engine's own", next_step="submit_task without a type, or with another")
    _check_executor(spec, settings)
    check_amount("budget_usd", spec.budget_usd)
    check_options(spec.options, max_attempts=settings.servers.limits.max_attempts)
    return replace(spec, cwd=_checked_cwd(spec.cwd))


def _preview(spec: TaskSpec, settings: Settings, specs: Mapping[str, ExecutorSpec]) -> Route:
    """Preview the choice from the settings alone; the binding one is made when the task begins."""
    return route(spec, settings.servers.routing, candidates(specs, {}, spec.options))


def _choice(spec: TaskSpec, settings: Settings, found: Route, specs: Mapping[str, ExecutorSpec]) -> Choice | None:
    if found.executor is None:
        return None
    model = model_of(specs[found.executor], settings, asked=spec.model, task_type=found.type)
    return Choice(executor=found.executor, requested=found.requested, model=model, reason=found.reason)


def _check_kept(spec: TaskSpec, found: Route, specs: Mapping[str, ExecutorSpec]) -> None:
    """Refuse a budget that nobody could keep: a limit that is not kept must not be accepted."""
    if spec.budget_usd is None or found.executor is None or specs[found.executor].spends:
        return
    raise BadRequest(
        f"what {found.executor} costs is not known here, so budget_usd cannot be kept",
        next_step="call submit_task without budget_usd, or with an executor that runs on models",
    )


def _without_blanks(spec: TaskSpec) -> TaskSpec:
    """Models fill optional arguments with "" and null: neither names a key, an executor, a folder or a limit."""
    names = ("type", "executor", "model", "cwd", "idempotency_key", "deadline_said")
    blank = {name: None for name in names if not (getattr(spec, name) or "").strip()}
    options = {name: value for name, value in spec.options.items() if value is not None}
    return replace(spec, **blank, options=options)


def _check_executor(spec: TaskSpec, settings: Settings) -> None:
    names = settings.names
    if spec.executor is not None and spec.executor not in names:
        raise UnknownExecutor(spec.executor, list(names))


def _check_allowed(spec: TaskSpec, found: Route, settings: Settings) -> None:
    """Refuse options that the executor which is wanted first would not keep."""
    row = settings.servers.executors.get(found.requested)
    if row is not None and (said := refusal(spec.options, row)) is not None:
        raise BadRequest(
            f"{found.requested} {said}",
            next_step="call submit_task with options that only lower what its row in servers.yaml allows, or without",
        )


def _checked_cwd(cwd: str | None) -> str | None:
    if cwd is None:
        return None
    try:
        folder = Path(cwd).expanduser()
        there = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadRequest(
            f"cwd {cwd[:200]!r} cannot be a folder: {error!s:.200}", next_step="call submit_task with an existing one"
        ) from error
    if not folder.is_absolute():
        raise BadRequest(f"cwd {cwd[:200]!r} is not absolute", next_step="call submit_task with the whole path")
    if not there:
        raise BadRequest(f"cwd {cwd[:200]!r} is not a folder here", next_step="call submit_task with an existing one")
    return str(folder.resolve())


def _produced(task: Task, offset: int, end: int) -> ResultPage | None:
    """Return a page of what a task has produced that waits for money."""
    produced = (task.snapshot or {}).get(PARTIAL) if task.waiting_for is WaitingFor.BUDGET else None
    return ResultPage(text=produced[offset:end], total_chars=len(produced)) if produced else None


def _result_view(task: Task, page: ResultPage, part: ResultPart, *, offset: int, end: int) -> ResultView:
    """Show a page, and where what it does not hold is found."""
    more = end < page.total_chars
    onward = f"task_result with offset {end}"
    if part != "text":
        onward = f"task_result with part {part} and offset {end}"
    steps = [onward] if more else []
    steps += [f"task_result with part {name}" for name in page.left_out] if offset == 0 and part == "text" else []
    return ResultView(
        task_id=task.id,
        state=task.state,
        text=page.text,
        offset=offset,
        total_chars=page.total_chars,
        next_offset=end if more else None,
        left_out=dict(page.left_out) if offset == 0 and part == "text" and page.left_out else None,
        structured=page.structured,
        notes=dict(page.notes) if page.notes else None,
        error=page.error,
        next_step="; ".join(steps) or None,
    )


def executor_view(spec: ExecutorSpec) -> ExecutorView:
    """Show an executor as configured."""
    return ExecutorView(
        name=spec.name,
        usable=spec.unusable is None,
        handles=sorted(spec.handles),
        parallel=spec.parallel,
        recovery=spec.recovery,
        detail=spec.unusable,
    )


def _elsewhere(kind: str) -> str | None:
    """Say why memories are not shown here, if they are not."""
    return {"embedded": None, "none": NO_MEMORY}.get(kind, SERVER_HAS_IT)


def _not_taken(owed: OwedMemory) -> str:
    if owed.given_up_at is not None:
        return f"given up: {owed.trouble}"
    return f"on its way; last try: {owed.trouble}" if owed.trouble else "on its way"
