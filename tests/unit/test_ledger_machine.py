"""The ledger against a plain dict: whatever callers do in whatever order, guard, fence, owner and history hold."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from omni_mcp.errors import QuestionGone, TaskPurged, TransitionRefused
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.question import Action, Answer, Asked, QuestionKind
from omni_mcp.task import (
    LOCAL,
    TERMINAL,
    TRANSITIONS,
    Choice,
    Completed,
    Failed,
    FailureClass,
    Task,
    TaskState,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import ToldClock, a_spec, result_of
from tests.postgres import Server

T = TypeVar("T")
CHOICE = Choice(executor="fake", requested="fake", model=None, reason="because")
HELD = (TaskState.DISPATCHING, TaskState.EXECUTING)
OUTCOMES = {
    TaskState.COMPLETED: Completed(text="done"),
    TaskState.FAILED: Failed(kind=FailureClass.TASK, message="no"),
    TaskState.CANCELLED: Failed(kind=FailureClass.CANCELLED, message="stopped"),
}
MINUTE = timedelta(minutes=1)

OPEN = 2
"""How many tasks are open at least."""

numbers = st.integers(0, 5)
owners = st.sampled_from(["a", "b"])
callers = st.sampled_from(
    [("holder", 0), ("holder", 0), ("holder", 0), ("a", 0), ("b", 0), ("holder", -1), ("holder", 1)]
)
"""Who writes, and how far its attempt number is off: mostly who holds the task, or held it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What we expect a task to be."""

    state: TaskState = TaskState.IDLE
    attempt: int = 0
    faults: int = 0
    owner: str | None = None
    holder: str = "a"
    """Who holds it, or held it last."""
    waiting_for: WaitingFor | None = None
    due: int | None = None
    consented: bool = False
    path: tuple[TaskState, ...] = (TaskState.IDLE,)
    """Every state that it has been in, in order."""
    late: int = 0
    """Ends that were refused."""
    needs: tuple[str, ...] = ()
    """Tasks that it runs after."""
    deadline: int | None = None
    over: int | None = None
    """The minute in which it was over."""
    asked: int = 0
    """Questions so far."""
    open: frozenset[int] = frozenset()
    """Those of them that wait for an answer."""

    def to(self, state: TaskState, **changes: Any) -> "Model":
        """Return it after a move: nobody holds it and nothing is waited for, unless `changes` say so."""
        free: dict[str, Any] = {"owner": None, "waiting_for": None, "due": None, "open": frozenset()}
        return replace(self, state=state, path=(*self.path, state), **{**free, **changes})

    def seen_by(self, caller: tuple[str, int]) -> tuple[str, int]:
        """Return the owner and attempt that a caller names."""
        who, off = caller
        return (self.holder if who == "holder" else who), self.attempt + off

    def held_by(self, owner: str, attempt: int) -> bool:
        """Whether this attempt of this owner holds it."""
        return self.is_held and self.owner == owner and self.attempt == attempt

    @property
    def is_held(self) -> bool:
        """Whether a run holds it: at work, or asking."""
        return self.state in HELD or bool(self.open and self.owner)

    def without(self, number: int) -> "Model":
        """Return it after a question is settled: with the last one it goes on."""
        left = self.open - {number}
        if left:
            return replace(self, open=left)
        return self.to(TaskState.EXECUTING if self.owner else TaskState.IDLE, owner=self.owner)


def was_begun(machine: "LedgerMachine") -> bool:
    """Whether there is somebody who may write, or did once."""
    return any(model.attempt for model in machine.model.values())


def was_asked(machine: "LedgerMachine") -> bool:
    """Whether there is a question, or was one."""
    return any(model.asked for model in machine.model.values())


class LedgerMachine(RuleBasedStateMachine):
    """Random callers, honest and stale."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ToldClock()
        self.minute = 0
        self.runner = asyncio.Runner()
        self.ledger = self.opened()
        self.model: dict[str, Model] = {}
        self.asked = 0
        self.keys: dict[str, str] = {}
        """Key -> task."""

    def opened(self) -> SqlLedger:
        return SqliteLedger(self.folder / "ledger.db", clock=self.clock)

    def teardown(self) -> None:
        self.do(self.ledger.__aexit__())
        self.runner.close()
        shutil.rmtree(self.folder)

    def do(self, verb: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(verb)

    def allowed(self, verb: Coroutine[Any, Any, Any]) -> bool:
        try:
            self.do(verb)
        except TransitionRefused:
            return False
        return True

    def moved(self, task: str, *, expected: bool, allowed: bool, to: Model) -> None:
        assert allowed == expected
        if expected:
            self.put(task, to)

    def put(self, task: str, to: Model) -> None:
        """Have a task moved, and with its end those that run after it."""
        self.model[task] = to
        if to.state not in TERMINAL:
            return
        self.model[task] = replace(to, over=self.minute)
        for other in [i for i, model in self.model.items() if task in model.needs]:
            if self.model[other].state is TaskState.WAITING:
                self.follow(other, self.model[other], to.state)

    def follow(self, task: str, model: Model, end: TaskState) -> None:
        if end is not TaskState.COMPLETED:
            self.put(task, model.to(TaskState.FAILED))
        elif all(need not in self.model or self.model[need].state is TaskState.COMPLETED for need in model.needs):
            self.put(task, model.to(TaskState.IDLE))

    def pick(self, n: int, *fitting: TaskState) -> tuple[str, Model]:
        """Return a task: first come those in a fitting state, then the other open ones, then the one over last."""
        while len(open_ones := [i for i, model in self.model.items() if model.state not in TERMINAL]) < OPEN:
            self.submit(None)
        known = sorted(open_ones, key=lambda task: self.model[task].state not in fitting)
        known += [i for i in self.model if i not in open_ones][-1:]
        task = known[n % len(known)]
        return task, self.model[task]

    @rule(key=st.sampled_from(["k", "l"]))
    def submit_with_a_key(self, key: str) -> None:
        known = self.keys.get(key)
        try:
            self.keys[key] = self.submit(key)
        except TaskPurged:
            assert known is not None
            assert known not in self.model
        else:
            assert known in (None, self.keys[key])

    def submit(self, key: str | None) -> str:
        submitted = self.do(self.ledger.submit(a_spec(idempotency_key=key), task_id=new_id(), choice=None))
        assert submitted.deduplicated == (submitted.task.id in self.model)
        self.model.setdefault(submitted.task.id, Model())
        return submitted.task.id

    @rule(n=numbers, m=numbers, end=st.sampled_from(sorted(TaskState)))
    def submit_after_others(self, n: int, m: int, end: TaskState) -> None:
        needs = tuple({self.pick(n)[0], self.pick(m, end)[0]})
        task = self.do(self.ledger.submit(a_spec(after=needs), task_id=new_id(), choice=None)).task.id
        states = {self.model[need].state for need in needs}
        if states == {TaskState.COMPLETED}:
            self.model[task] = Model(needs=needs)
            return
        first = Model(needs=needs, state=TaskState.WAITING, path=(TaskState.WAITING,))
        self.model[task] = replace(first, waiting_for=WaitingFor.DEPENDENCY)
        if states & {TaskState.FAILED, TaskState.CANCELLED}:
            self.put(task, self.model[task].to(TaskState.FAILED))

    @rule()
    def submit_with_a_deadline(self) -> None:
        spec = a_spec(deadline=self.clock.now() + MINUTE)
        task = self.do(self.ledger.submit(spec, task_id=new_id(), choice=None)).task.id
        self.model[task] = Model(deadline=self.minute + 1)

    @rule()
    def expire(self) -> None:
        late = [i for i, m in self.model.items() if m.deadline is not None and m.deadline <= self.minute]
        free = [i for i in late if self.model[i].state in (TaskState.IDLE, TaskState.WAITING)]
        free = [i for i in free if not self.model[i].is_held]
        assert self.do(self.ledger.expire()) == len(free)
        for task in free:
            if self.model[task].state not in TERMINAL:  # nor failed by another that it runs after
                self.put(task, self.model[task].to(TaskState.FAILED))

    @rule()
    def purge(self) -> None:
        old = [i for i, m in self.model.items() if m.over is not None and m.over < self.minute]
        assert self.do(self.ledger.purge(self.clock.now())) == len(old)
        for task in old:
            del self.model[task]

    @rule(n=numbers, owner=owners)
    def begin(self, n: int, owner: str) -> None:
        task, old = self.pick(n, TaskState.IDLE)
        begun = self.do(self.ledger.begin(task, owner=owner))
        new = old.to(TaskState.DISPATCHING, owner=owner, holder=owner, attempt=old.attempt + 1, consented=False)
        self.moved(task, expected=old.state is TaskState.IDLE, allowed=begun is not None, to=new)

    @precondition(was_begun)
    @rule(n=numbers, caller=callers)
    def bind(self, n: int, caller: tuple[str, int]) -> None:
        task, old = self.pick(n, TaskState.DISPATCHING)
        owner, attempt = old.seen_by(caller)
        bind = self.ledger.bind(task, attempt=attempt, owner=owner, choice=CHOICE, endpoint="", run_id="")
        expected = old.held_by(owner, attempt) and old.state is TaskState.DISPATCHING
        self.moved(task, expected=expected, allowed=self.allowed(bind), to=old.to(TaskState.EXECUTING, owner=owner))

    @precondition(was_begun)
    @rule(n=numbers, caller=callers, state=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, n: int, caller: tuple[str, int], state: TaskState) -> None:
        task, old = self.pick(n, *HELD)
        owner, attempt = old.seen_by(caller)
        finish = self.ledger.finish(task, attempt=attempt, owner=owner, state=state, outcome=OUTCOMES[state])
        expected = old.held_by(owner, attempt) and state in TRANSITIONS[old.state]
        if not expected:
            self.model[task] = replace(old, late=old.late + 1)
        self.moved(task, expected=expected, allowed=self.allowed(finish), to=old.to(state))

    @precondition(was_begun)
    @rule(
        n=numbers,
        caller=callers,
        kind=st.sampled_from([WaitingFor.RETRY, WaitingFor.CONSENT]),
        due=st.booleans(),
        fault=st.booleans(),
    )
    def park(self, n: int, caller: tuple[str, int], kind: WaitingFor, due: bool, fault: bool) -> None:
        task, old = self.pick(n, *HELD)
        owner, attempt = old.seen_by(caller)
        due_at = self.clock.now() + MINUTE if due else None
        park = self.ledger.park(
            task, attempt=attempt, owner=owner, waiting_for=kind, text="x", due_at=due_at, fault=fault
        )
        new = old.to(
            TaskState.WAITING, waiting_for=kind, due=self.minute + 1 if due else None, faults=old.faults + fault
        )
        self.moved(task, expected=old.held_by(owner, attempt), allowed=self.allowed(park), to=new)

    @precondition(was_begun)
    @rule(n=numbers, caller=callers, keep=st.booleans())
    def release(self, n: int, caller: tuple[str, int], keep: bool) -> None:
        task, old = self.pick(n, *HELD)
        owner, attempt = old.seen_by(caller)
        release = self.ledger.release(task, attempt=attempt, owner=owner, text="x", keep_questions=keep)
        new = replace(old, owner=None) if keep and old.open else old.to(TaskState.IDLE)
        self.moved(task, expected=old.held_by(owner, attempt), allowed=self.allowed(release), to=new)

    @precondition(was_begun)
    @rule(n=numbers, caller=callers)
    def ask(self, n: int, caller: tuple[str, int]) -> None:
        task, old = self.pick(n, TaskState.EXECUTING)
        owner, attempt = old.seen_by(caller)
        self.asked += 1
        asked = Asked(kind=QuestionKind.INPUT, text=f"question {self.asked}")
        ask = self.ledger.ask(
            task, attempt=attempt, owner=owner, asked=asked, for_people=False, text="asks", notice="asks"
        )
        first = old.to(TaskState.WAITING, owner=owner, waiting_for=WaitingFor.INPUT)
        number = old.asked + 1
        new = replace(old if old.open else first, asked=number, open=old.open | {number})
        expected = old.held_by(owner, attempt) and old.state is not TaskState.DISPATCHING
        self.moved(task, expected=expected, allowed=self.allowed(ask), to=new)

    @precondition(was_asked)
    @rule(n=numbers, number=st.integers(1, 3))
    def answer(self, n: int, number: int) -> None:
        task, old = self.pick(n, TaskState.WAITING)
        answer = self.ledger.answer(task, f"q{number}", answer=Answer(action=Action.ACCEPT), by="person")
        try:
            self.do(answer)
        except QuestionGone:
            assert number not in old.open
        else:
            assert number in old.open
            self.put(task, old.without(number))

    @precondition(was_asked)
    @rule(n=numbers, caller=callers, number=st.integers(1, 3))
    def take_back(self, n: int, caller: tuple[str, int], number: int) -> None:
        task, old = self.pick(n, TaskState.WAITING)
        owner, attempt = old.seen_by(caller)
        self.do(self.ledger.take_back(task, f"q{number}", attempt=attempt, owner=owner))
        if old.held_by(owner, attempt) and number in old.open:
            self.put(task, old.without(number))

    @rule(n=numbers)
    def hold(self, n: int) -> None:
        task, old = self.pick(n, TaskState.IDLE)
        due_at = self.clock.now() + MINUTE
        hold = self.ledger.hold(task, waiting_for=WaitingFor.EXECUTOR, text="x", due_at=due_at)
        new = old.to(TaskState.WAITING, waiting_for=WaitingFor.EXECUTOR, due=self.minute + 1)
        self.moved(task, expected=old.state is TaskState.IDLE, allowed=self.allowed(hold), to=new)

    @rule(n=numbers, consent=st.booleans())
    def resume(self, n: int, consent: bool) -> None:
        task, old = self.pick(n, TaskState.WAITING)
        asks = old.waiting_for is WaitingFor.CONSENT
        needs_more = old.waiting_for in (WaitingFor.DEPENDENCY, WaitingFor.INPUT)
        expected = old.state is TaskState.WAITING and (consent or not asks) and not needs_more
        resumed = self.allowed(self.ledger.resume(task, consent=consent))
        self.moved(task, expected=expected, allowed=resumed, to=old.to(TaskState.IDLE, consented=asks))

    @rule(n=numbers)
    def cancel(self, n: int) -> None:
        task, old = self.pick(n)
        self.do(self.ledger.request_cancel(task, reason=None))
        if old.state in (TaskState.IDLE, TaskState.WAITING) and not old.is_held:
            self.put(task, old.to(TaskState.CANCELLED))

    @precondition(was_begun)
    @rule(n=numbers, caller=callers)
    def checkpoint(self, n: int, caller: tuple[str, int]) -> None:
        task, old = self.pick(n, TaskState.EXECUTING)
        owner, attempt = old.seen_by(caller)
        saved = self.do(self.ledger.checkpoint(task, attempt=attempt, owner=owner, progress=None, snapshot={"n": 1}))
        assert saved == (old.held_by(owner, attempt) and old.state is not TaskState.DISPATCHING)

    @rule()
    def wake(self) -> None:
        due = {i: m for i, m in self.model.items() if m.due is not None and m.due <= self.minute}
        assert self.do(self.ledger.wake_due(cloud=True)) == len(due)
        self.model |= {task: model.to(TaskState.IDLE) for task, model in due.items()}

    @rule()
    def a_minute_passes(self) -> None:
        self.clock.advance(MINUTE)
        self.minute += 1

    @rule(owner=owners)
    def renew(self, owner: str) -> None:
        held = {task for task, model in self.model.items() if model.owner == owner}
        assert set(self.do(self.ledger.renew(owner))) == held

    @invariant()
    def every_task_is_as_expected(self) -> None:
        seen = {task.id: task for task in self.do(self.ledger.page(principal=LOCAL, limit=1000)).tasks}
        assert {i: _of(task) for i, task in seen.items()} == {i: _expected(model) for i, model in self.model.items()}

    @invariant()
    def what_is_claimable_held_and_counted_is_what_is_there(self) -> None:
        by_state = {state: {i for i, m in self.model.items() if m.state is state} for state in TaskState}
        assert {task.id for task in self.do(self.ledger.claimable(limit=1000))} == by_state[TaskState.IDLE]
        held = {i for i, model in self.model.items() if model.is_held}
        assert {task.id for task in self.do(self.ledger.held())} == held
        counts = {state: len(ids) for state, ids in by_state.items() if ids and state not in TERMINAL}
        assert self.do(self.ledger.counts()) == counts

    @rule(n=numbers)
    def the_history_tells_every_move_and_each_was_legal(self, n: int) -> None:
        task, model = self.pick(n)
        events = self.do(self.ledger.events(task, limit=1000))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        told = [event.text.partition("→ ")[2].split(" ")[0].strip(":") for event in events if event.kind == "state"]
        assert told == list(model.path)
        assert all(after in TRANSITIONS[before] for before, after in zip(model.path, model.path[1:], strict=False))
        assert sum(event.kind == "late_result" for event in events) == model.late

    @rule(n=numbers)
    def its_open_questions_are_those_that_it_waits_for(self, n: int) -> None:
        task, model = self.pick(n, TaskState.WAITING)
        asked = self.do(self.ledger.questions(task))
        assert {f"q{number}" for number in model.open} == {each.id for each in asked if each.open}
        assert len(asked) == model.asked
        assert (model.waiting_for is WaitingFor.INPUT) == bool(model.open)

    @rule(n=numbers)
    def there_is_a_result_when_and_only_when_it_is_over(self, n: int) -> None:
        task, model = self.pick(n)
        assert (self.do(result_of(self.ledger, task)) is not None) == (model.state in TERMINAL)


def _of(task: Task) -> Mapping[str, Any]:
    return {
        "state": task.state,
        "attempt": task.attempt,
        "faults": task.faults,
        "owner": task.owner,
        "waiting_for": task.waiting_for,
        "due": task.due_at is not None,
        "consented": task.consented,
    }


def _expected(model: Model) -> Mapping[str, Any]:
    fields = ("state", "attempt", "faults", "owner", "waiting_for", "consented")
    return {**{name: getattr(model, name) for name in fields}, "due": model.due is not None}


LedgerMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedgerMachine = LedgerMachine.TestCase


@pytest.mark.postgres
def test_the_same_holds_on_postgresql(postgres: Server) -> None:
    class OnPostgres(LedgerMachine):
        """The same, there."""

        def opened(self) -> SqlLedger:
            from omni_mcp.ledger.postgres.store import PostgresLedger

            postgres.execute("drop schema if exists machine cascade; create schema machine")
            return PostgresLedger(postgres.url(schema="machine"), clock=self.clock)

    few = settings(LedgerMachine.TestCase.settings, max_examples=8)
    run_state_machine_as_test(OnPostgres, settings=few)
