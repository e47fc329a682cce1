"""Money: what is on the books, what a budget leaves room for, when a day ends, and what a run without a relay costs."""

import math
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio
import pytest

from omni_mcp.budget import BudgetReached, Spending, Sum
from omni_mcp.decide.budgets import Limits, check_amount, day_before, local_day, refusal
from omni_mcp.engine import Engine
from omni_mcp.errors import BadRequest, LedgerBusy
from omni_mcp.home import Home
from omni_mcp.ledger import usage as books
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.purse import Purse
from omni_mcp.servers_file import ExecutorRow, Routing, ServersFile
from omni_mcp.settings import Settings
from omni_mcp.task import (
    LOCAL,
    Choice,
    Completed,
    Failed,
    FailureClass,
    Outcome,
    Recovery,
    Task,
    TaskState,
    Usage,
    Used,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import START, FakeExecutor, ToldClock, a_spec, engine_for, ledger_for_tests, means_for
from tests.unit.test_service import Place, place

LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""

HOUR = timedelta(hours=1)


@contextmanager
def zone(name: str) -> Generator[None]:
    """Have this machine's clock in a time zone while the body runs."""
    with patch.dict("os.environ", {"TZ": name}):
        time.tzset()
        yield
    time.tzset()


# the decision


LIMITS = Limits(executor="e", daily_usd=1.0, executor_usd=0.5, model_usd={"m": 0.25})


@pytest.mark.parametrize(
    ("spending", "says"),
    [
        (Spending(), None),
        (Spending(budget_usd=0.1, task=Sum(usd=0.0999)), None),
        (Spending(budget_usd=0.3, task=Sum(usd=0.1 + 0.2)), "the budget of this task is reached, $0.3 of $0.3"),
        (Spending(budget_usd=1, task=Sum(usd=sum([0.1] * 10))), "the budget of this task"),  # 0.9999999999999999
        (Spending(day=Sum(usd=1.5)), "limits.daily_usd is reached, $1.5 of $1 spent since midnight"),
        (Spending(executor=Sum(usd=0.5)), "executors.e.daily_usd"),
        (Spending(model=Sum(usd=0.25)), "models.daily_usd.m"),
        (Spending(model=Sum(usd=0.2), executor=Sum(usd=0.4), day=Sum(usd=0.9, unknown_calls=99)), None),
    ],
)
def test_a_call_may_be_made_as_long_as_less_than_each_budget_is_spent(spending: Spending, says: str | None) -> None:
    said = refusal(LIMITS, spending, model="m", now=START)
    assert (said is None) == (says is None)
    assert says is None or said is None or said.message.startswith(says)


def test_the_budget_of_another_model_holds_nobody_up() -> None:
    assert refusal(LIMITS, Spending(model=Sum(usd=9)), model="other", now=START) is None


def test_calls_of_unknown_cost_count_what_the_settings_say_and_are_always_told() -> None:
    spent = Spending(budget_usd=1.0, task=Sum(usd=0.4, unknown_calls=3))
    assert refusal(Limits(executor="e"), spent, model="m", now=START) is None
    said = refusal(Limits(executor="e", unknown_usd=0.2), spent, model="m", now=START)
    assert said is not None
    assert said.message.endswith("$0.4 of $1 spent; 3 calls of unknown cost count $0.2 each")
    assert "add_budget_usd" in (said.next_step or "")


def test_a_daily_budget_says_when_it_begins_anew_and_a_tasks_own_waits_for_a_person() -> None:
    with zone("Asia/Shanghai"):
        daily = refusal(LIMITS, Spending(day=Sum(usd=1)), model="m", now=START)
        own = refusal(LIMITS, Spending(budget_usd=1, task=Sum(usd=1), day=Sum(usd=1)), model="m", now=START)
    assert daily is not None
    assert own is not None
    assert (daily.until, own.until) == (datetime(2026, 1, 1, 16, tzinfo=UTC), None)
    assert "2026-01-02 00:00 +0800" in (daily.next_step or "")
    assert "limits.daily_usd" in (daily.next_step or "")


@pytest.mark.parametrize(
    ("name", "at", "begins", "hours"),
    [
        ("UTC", "2026-03-29T12:00+00:00", "2026-03-29T00:00+00:00", 24),
        ("Europe/Berlin", "2026-03-29T12:00+00:00", "2026-03-28T23:00+00:00", 23),  # 02:00 becomes 03:00
        ("Europe/Berlin", "2026-10-25T22:59+00:00", "2026-10-24T22:00+00:00", 25),  # 03:00 becomes 02:00
        ("Europe/Berlin", "2026-10-25T23:00+00:00", "2026-10-25T23:00+00:00", 24),
        ("America/New_York", "2026-11-01T05:30+00:00", "2026-11-01T04:00+00:00", 25),
        ("Africa/Cairo", "2026-04-24T12:00+00:00", "2026-04-23T22:00+00:00", 23),  # there is no midnight
    ],
)
def test_a_day_is_that_of_the_clock_on_the_wall(name: str, at: str, begins: str, hours: int) -> None:
    with zone(name):
        day = local_day(datetime.fromisoformat(at))
    assert day.begins == datetime.fromisoformat(begins)
    assert day.ends - day.begins == timedelta(hours=hours)


def test_days_are_counted_back_on_the_wall_too() -> None:
    with zone("Europe/Berlin"):
        noon = datetime(2026, 3, 30, 10, tzinfo=UTC)
        assert day_before(noon, 2) == datetime(2026, 3, 27, 23, tzinfo=UTC)


@pytest.mark.parametrize("usd", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e6 + 1, 1e300, 1e-12])
def test_what_is_no_amount_of_money_is_refused_with_one_that_is(usd: float) -> None:
    with pytest.raises(BadRequest, match="budget_usd") as error:
        check_amount("budget_usd", usd)
    assert "0.5" in (error.value.next_step or "")


@pytest.mark.parametrize("usd", [0, -1, "nan", "inf", 1e7, "much"])
def test_a_daily_budget_that_is_no_amount_is_a_problem_of_its_key(usd: object) -> None:
    with pytest.raises(ValueError, match="daily_usd"):
        ServersFile.model_validate({"limits": {"daily_usd": usd}})


# the books


CHOICE = Choice(executor="e", requested="e", model="m", reason="because")
USED = {"input_tokens": 10, "output_tokens": 5, "price_source": "config"}


async def at_work(ledger: SqliteLedger, executor: str = "e", **changes: Any) -> Task:
    """Have a task at work at an executor."""
    task = (await ledger.submit(a_spec(**changes), task_id=new_id(), choice=CHOICE)).task
    assert await ledger.begin(task.id, owner="me") is not None
    choice = replace(CHOICE, executor=executor)
    await ledger.bind(task.id, attempt=1, owner="me", choice=choice, endpoint="relay", run_id="run-1")
    return await ledger.find(task.id, principal=None)


async def spend(ledger: SqliteLedger, task: Task, usd: float | None, *, model: str = "m", **more: Any) -> None:
    """Have a call on the books."""
    usage = Usage(task_id=task.id, attempt=task.attempt, model=model, endpoint="direct", **more)
    await ledger.close_usage(await ledger.open_usage(usage), replace(usage, cost_usd=usd, **USED))


async def completed(ledger: SqliteLedger, task: Task) -> None:
    done = Completed(text="x")
    await ledger.finish(task.id, attempt=1, owner="me", state=TaskState.COMPLETED, outcome=done)


def purse(clock: ToldClock, **limits: Any) -> Purse:
    return Purse(limits=Limits(executor="e", **limits), clock=clock)


async def test_the_sums_tell_task_day_executor_and_model_apart(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        first, second = await at_work(ledger, budget_usd=2.0), await at_work(ledger, "other")
        await spend(ledger, first, 8.0)
        clock.advance(timedelta(days=1))
        await spend(ledger, first, 1.0)
        await spend(ledger, first, None, model="n")
        await spend(ledger, second, 0.5)
        seen = await ledger.spending(first.id, executor="e", model="m", since=local_day(clock.now()).begins)
    assert seen == Spending(
        budget_usd=2.0,
        task=Sum(usd=9.0, unknown_calls=1),
        day=Sum(usd=1.5, unknown_calls=1),
        executor=Sum(usd=1.0, unknown_calls=1),
        model=Sum(usd=1.5),
    )


async def test_a_row_is_opened_only_while_something_is_left(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await at_work(ledger)
        usage = Usage(task_id=task.id, attempt=1, model="m")
        mine = purse(clock, daily_usd=1.0)
        await ledger.open_usage(usage, mine)
        await spend(ledger, task, 1.0)
        with pytest.raises(BudgetReached, match=r"limits\.daily_usd"):
            await ledger.open_usage(usage, mine)
        assert (await ledger.find(task.id, principal=LOCAL)).cost_unknown_calls == 1
        clock.advance(timedelta(days=1))
        await ledger.open_usage(usage, mine)


async def test_an_attempt_that_attaches_finds_the_row_of_its_run_and_no_budget_stops_it(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        task = await at_work(ledger, budget_usd=0.5)
        usage = Usage(task_id=task.id, attempt=1, model="m", run_id="run-1")
        row = await ledger.open_usage(usage, purse(clock))
        await spend(ledger, task, 0.5)
        assert await ledger.open_usage(replace(usage, attempt=2), purse(clock)) == row
        await ledger.close_usage(row, replace(usage, cost_usd=0.25))
        with pytest.raises(BudgetReached):
            await ledger.open_usage(replace(usage, attempt=3), purse(clock))
        assert (await ledger.find(task.id, principal=LOCAL)).cost_usd == 0.75


async def test_what_was_spent_outlives_the_purge_of_its_task(tmp_path: Path) -> None:
    async with place(tmp_path, daily_usd=3.0) as here:
        task = await at_work(here.ledger, description="a secret plan")
        await spend(here.ledger, task, 2.0)
        await completed(here.ledger, task)
        here.clock.advance(timedelta(seconds=2))
        before = await here.service.costs()
        purged = await here.service.purge("1s")
        after = await here.service.costs()
    assert (purged.tasks, "costs" in purged.kept) == (1, True)
    assert (after.total, after.budgets) == (before.total, before.budgets)
    assert [row.name for row in before.by["task"]] == [task.id]
    assert [(row.name, row.title, row.usd) for row in after.by["task"]] == [(None, None, 2.0)]
    assert after.by["executor"] == before.by["executor"]


async def test_costs_are_told_by_day_executor_model_and_task_and_free_from_paid(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        first, second = await at_work(here.ledger, description="one"), await at_work(here.ledger, "other")
        await spend(here.ledger, first, 1.0)
        await spend(here.ledger, first, 0.0, model="free")
        here.clock.advance(timedelta(days=1))
        await spend(here.ledger, second, None)
        await spend(here.ledger, second, 3.0)
        costs = await here.service.costs(days=2)
        today = await here.service.costs(days=1)
        span = await here.service.costs(since="30h")
        named = await here.service.costs(since="2026-01-02")

    def told(group: str) -> list[tuple[str | None, float, int, int, int]]:
        rows = costs.by[group]
        return [(row.name, row.usd, row.free_calls, row.paid_calls, row.unknown_calls) for row in rows]

    assert told("day") == [("2026-01-02", 3.0, 0, 1, 1), ("2026-01-01", 1.0, 1, 1, 0)]
    assert told("executor") == [("other", 3.0, 0, 1, 1), ("e", 1.0, 1, 1, 0)]
    assert told("model") == [("m", 4.0, 0, 2, 1), ("free", 0.0, 1, 0, 0)]
    assert told("task") == [(second.id, 3.0, 0, 1, 1), (first.id, 1.0, 1, 1, 0)]
    assert (costs.total.calls, costs.total.usd, costs.total.input_tokens) == (4, 4.0, 40)
    assert (today.total.usd, today.total, span.total) == (3.0, named.total, costs.total)


@pytest.mark.parametrize("asked", [{"days": 0}, {"days": 99999}, {"days": 1, "since": "1d"}, {"since": "yesterday"}])
async def test_a_span_of_costs_that_cannot_be_is_refused_with_one_that_can(asked: Any, tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        with pytest.raises(BadRequest) as error:
            await here.service.costs(**asked)
        assert error.value.next_step


async def test_another_principal_sees_its_own_costs_alone(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await spend(here.ledger, await at_work(here.ledger, principal="guest"), 1.0)
        await spend(here.ledger, await at_work(here.ledger), 2.0)
        guest = replace(here.service, principal="guest")
        assert (await guest.costs()).total.usd == 1.0
        assert (await here.service.costs()).total.usd == 3.0


def before(path: Path, version: int) -> sqlite3.Connection:
    """Return a ledger as an earlier release has made it."""
    db = sqlite3.connect(path, isolation_level=None)
    for file in sorted(Path(books.__file__).with_name("sql").glob("*.sql")):
        if int(file.name[:4]) <= version:
            db.executescript(file.read_text(encoding="utf-8"))
    db.execute(f"pragma user_version = {version}")
    return db


@pytest.mark.sqlite
async def test_the_costs_of_an_older_ledger_are_kept_with_executor_and_principal(tmp_path: Path) -> None:
    at = 1_767_268_800_000_000
    with closing(before(tmp_path / "ledger.db", 5)) as db:
        db.execute(
            "insert into tasks (n, id, principal, state, priority, since, created_at, updated_at, attempt, title)"
            " values (7, 'old', 'guest', 'idle', 0, ?1, ?1, ?1, 1, 'of old')",
            [at],
        )
        db.execute("insert into attempts (task, number, owner, executor, began_at) values (7, 1, 'me', 'e', ?)", [at])
        for usd in (0.5, None):
            values = [at, usd]
            db.execute("insert into usage (task, attempt, model, opened_at, cost_usd) values (7, 1, 'm', ?, ?)", values)
    async with ledger_for_tests(tmp_path, ToldClock()) as ledger:
        [row] = await ledger.costs("executor", since=START - HOUR, principal="guest", limit=9)
        spent = await ledger.spending("old", executor="e", model="m", since=START - HOUR)
    assert (row.name, row.usd, row.calls, row.unknown_calls) == ("e", 0.5, 2, 1)
    assert spent == Spending(**dict.fromkeys(("task", "day", "executor", "model"), Sum(usd=0.5, unknown_calls=1)))


MANY = 100_000


@pytest.mark.sqlite
def test_a_hundred_thousand_calls_are_summed_by_index(tmp_path: Path) -> None:
    async def opened() -> None:
        async with ledger_for_tests(tmp_path, ToldClock()) as ledger:
            await at_work(ledger)

    anyio.run(opened)
    values = {"id": "x", "executor": "e", "model": "m", "since": 1}
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        db.execute("begin")
        rows = ((n, "e", "m", 1_767_268_800_000_000 + n, 0.001) for n in range(1, MANY + 1))
        db.executemany(
            "insert into usage (id, task, attempt, principal, executor, asked, model, opened_at, cost_usd)"
            " values (?1, 1, 1, 'local', ?2, ?3, ?3, ?4, ?5)",
            rows,
        )
        db.execute("commit")
        plan = [row[3] for row in db.execute(f"explain query plan {books.SPENDING}", values)]
        by = {"since": 1, "principal": None, "limit": 5}
        sums = {group: db.execute(books.costs_by(group), by).fetchall() for group in books.GROUPS}
        plans = {
            group: [row[3] for row in db.execute(f"explain query plan {books.costs_by(group)}", by)]
            for group in books.GROUPS
        }
    assert any("usage USING COVERING INDEX usage_of_day (opened_at>?)" in step for step in plan), plan
    assert any("u USING" in step and "INDEX usage_of_task (task=?)" in step for step in plan), plan
    assert all(any("usage_of_day (opened_at>?)" in step for step in steps) for steps in plans.values()), plans
    assert {round(rows[0][8], 6) for rows in sums.values()} == {MANY / 1000}


# the engine


async def stepped(engine: Engine) -> None:
    """Let the engine do what can be done now, to its end."""
    async with anyio.create_task_group() as attempts:
        await engine.step(attempts)


async def found(ledger: SqliteLedger, task: Task) -> Task:
    return await ledger.find(task.id, principal=LOCAL)


def own_login(outcome: Outcome, **row: Any) -> FakeExecutor:
    """Return an adapter with a login of its own."""
    fields = {"url": "http://127.0.0.1:9/never-opened", "handles": ("general",), "recovery": "retry", **row}
    return FakeExecutor(outcome=outcome, row=ExecutorRow.model_validate(fields))


def costly(usd: float | None, **more: Any) -> Completed:
    return Completed(text="done", used=Used(model="agent-1", cost_usd=usd, **more))


def house(ledger: SqliteLedger, clock: ToldClock, home: Path, executor: FakeExecutor, **sections: Any) -> Engine:
    servers = ServersFile.model_validate(
        {"executors": {"fake": executor.row}, "routing": Routing(rules=(), default="fake"), **sections}
    )
    means = means_for(Settings(home=Home(home), servers=servers), executor)
    return engine_for(ledger, executor, home=home, clock=clock, means=means)


async def submitted(ledger: SqliteLedger, **changes: Any) -> Task:
    return (await ledger.submit(a_spec(**changes), task_id=new_id(), choice=None)).task


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "UTC"])
async def test_a_spent_day_holds_what_comes_until_midnight_and_lets_it_go_then(name: str, tmp_path: Path) -> None:
    """On the 25 hours of 2026-10-25 in Berlin, too."""
    with zone(name):
        async with ledger_for_tests(tmp_path, clock := ToldClock(datetime(2026, 10, 25, 11, tzinfo=UTC))) as ledger:
            engine = house(ledger, clock, tmp_path, own_login(costly(2.5)), limits={"daily_usd": 1.0})
            first = await submitted(ledger)
            await stepped(engine)
            assert (await found(ledger, first)).state == "completed"
            second = await submitted(ledger)
            await stepped(engine)
            held = await found(ledger, second)
            midnight = local_day(clock.now()).ends
            assert (held.state, held.waiting_for, held.due_at, held.attempt) == ("waiting", "budget", midnight, 0)
            assert "limits.daily_usd is reached, $2.5 of $1 spent since midnight" in (held.text or "")
            clock.advance(midnight - clock.now() - timedelta(seconds=1))
            await stepped(engine)
            assert (await found(ledger, second)).state == "waiting"
            clock.advance(timedelta(seconds=1))
            await stepped(engine)
            assert (await found(ledger, second)).state == "completed"


@pytest.mark.parametrize(
    "sections",
    [
        {"executors": {"fake": {**own_login(costly(1)).row.model_dump(exclude_defaults=True), "daily_usd": 0.5}}},
        {"models": {"model_list": [{"model_name": "m", "litellm_params": {"model": "x"}}], "daily_usd": {"m": 0.5}}},
    ],
)
async def test_an_executor_and_a_model_have_days_of_their_own(sections: Any, tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = house(ledger, clock, tmp_path, own_login(costly(0.5)), **sections)
        first = await submitted(ledger)
        await stepped(engine)
        second = await submitted(ledger)
        await stepped(engine)
        assert (await found(ledger, first)).state is TaskState.COMPLETED
        assert (await found(ledger, second)).waiting_for is WaitingFor.BUDGET


async def test_settings_that_allow_more_let_go_what_waited_for_the_day(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        executor = own_login(costly(1.0))
        await stepped(engine := house(ledger, clock, tmp_path, executor, limits={"daily_usd": 0.5}))
        await submitted(ledger)
        await stepped(engine)
        task = await submitted(ledger)
        await stepped(engine)
        assert (await found(ledger, task)).waiting_for is WaitingFor.BUDGET
        await stepped(house(ledger, clock, tmp_path, executor, limits={"daily_usd": 5}))
        assert (await found(ledger, task)).state is TaskState.COMPLETED


def failing(used: Used | None, kind: FailureClass = FailureClass.INTERRUPTED) -> Failed:
    return Failed(kind=kind, message="no luck", used=used)


async def test_each_run_of_a_login_of_its_own_is_one_row_the_failed_ones_too(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        executor = own_login(failing(Used(model="agent-1", cost_usd=0.25)), recovery="resume")
        engine = house(ledger, clock, tmp_path, executor)
        task = await submitted(ledger)
        await stepped(engine)
        executor.outcome = failing(None)
        clock.advance(HOUR)
        await stepped(engine)
        executor.outcome = costly(0.5)
        clock.advance(HOUR)
        await stepped(engine)
        done = await found(ledger, task)
        [row] = await ledger.costs("executor", since=START, principal=None, limit=9)
        models = [cost.name for cost in await ledger.costs("model", since=START, principal=None, limit=9)]
    assert (done.state, done.attempt, done.cost_usd, done.cost_unknown_calls) == ("completed", 3, 0.75, 1)
    assert (row.name, row.calls, row.usd, row.unknown_calls) == ("fake", 3, 0.75, 1)
    assert models == ["agent-1", "unknown"]


async def test_while_the_ledger_is_away_a_run_waits_for_its_row_and_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        executor, open_usage, refusals = own_login(costly(0.5)), ledger.open_usage, [LedgerBusy("held")] * 2

        async def refused(*args: Any, **named: Any) -> int:
            if refusals:
                raise refusals.pop()
            return await open_usage(*args, **named)

        monkeypatch.setattr(ledger, "open_usage", refused)
        task = await submitted(ledger)
        await stepped(house(ledger, clock, tmp_path, executor))
        done = await found(ledger, task)
    assert (done.state, done.attempt, done.faults, done.cost_usd) == ("completed", 1, 0, 0.5)
    assert not refusals


async def test_a_run_that_only_counts_tokens_is_priced_by_the_list_and_else_unknown(tmp_path: Path) -> None:
    list_ = {"claude-x": {"litellm_provider": "anthropic", "input_cost_per_token": 2.0, "output_cost_per_token": 3.0,
                          "cache_read_input_token_cost": 0.5}}  # fmt: skip
    tokens: dict[str, Any] = {"input_tokens": 10, "output_tokens": 1, "cache_read_tokens": 4}
    known = Used(model="claude-x", provider="anthropic", **tokens)
    with patch("omni_mcp.purse.price_table", lambda: list_):
        async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
            executor = own_login(Completed(text="done", used=known))
            engine = house(ledger, clock, tmp_path, executor)
            first = await submitted(ledger)
            await stepped(engine)
            executor.outcome = Completed(text="done", used=replace(known, provider="acme"))
            second = await submitted(ledger)
            await stepped(engine)
            seen = [await found(ledger, task) for task in (first, second)]
    assert [(task.cost_usd, task.cost_unknown_calls) for task in seen] == [(6 * 2.0 + 4 * 0.5 + 3.0, 0), (None, 1)]


async def test_a_foreign_tool_is_neither_on_the_books_nor_held(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        engine = house(ledger, clock, tmp_path, FakeExecutor(), limits={"daily_usd": 0.5})
        task = await at_work(ledger, "someone")
        await spend(ledger, task, 1.0)
        await stepped(engine)
        tool = await submitted(ledger)
        await stepped(engine)
        done = await found(ledger, tool)
    assert (done.state, done.cost_usd, done.cost_unknown_calls) == ("completed", None, 0)


@pytest.mark.parametrize(
    "first",
    [failing(None), replace(failing(Used(model="agent-1", cost_usd=0.25), FailureClass.PROVIDER), lives=True)],
    ids=["silent", "lives"],
)
async def test_an_attached_run_is_one_row_over_two_attempts_and_no_spent_day_holds_it(
    first: Failed, tmp_path: Path
) -> None:
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        executor = own_login(first, recovery=Recovery.ATTACH)
        engine = house(ledger, clock, tmp_path, executor, limits={"daily_usd": 1})
        task = await submitted(ledger)
        await stepped(engine)
        await spend(ledger, await at_work(ledger), 2.0)
        executor.outcome = costly(0.5)
        clock.advance(HOUR)
        await stepped(engine)
        done = await found(ledger, task)
    assert (done.state, done.attempt, done.cost_usd, done.cost_unknown_calls) == ("completed", 2, 0.5, 0)


# raising a budget


async def waiting_for_money(here: Place, *, budget: float = 0.5, spent: float = 0.75) -> Task:
    """Have a task whose own budget is spent."""
    task = await at_work(here.ledger, "claw", budget_usd=budget)
    await spend(here.ledger, task, spent)
    await here.ledger.park(task.id, attempt=1, owner="me", waiting_for=WaitingFor.BUDGET, text="spent")
    return await here.ledger.find(task.id, principal=None)


async def test_a_budget_is_raised_once_by_its_name_and_a_dry_run_says_what_follows(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task = await waiting_for_money(here)

        async def resumed(**asked: Any) -> tuple[str, str]:
            [told] = (await here.service.resume([task.id], **asked)).tasks
            return told.action, told.text

        assert await resumed() == (
            "left alone",
            "its budget of $0.5 is reached: name it with add_budget_usd to raise that",
        )
        assert (await resumed(add_budget_usd=0.25))[1].startswith("$0.75 would be spent already: $0.75 are")
        follows = "its budget becomes $1.5, of which $0.75 is spent; attempt 2 on claw"
        assert await resumed(add_budget_usd=1.0, dry_run=True) == ("would resume", follows)
        assert (await found(here.ledger, task)).spec.budget_usd == 0.5
        assert await resumed(add_budget_usd=1.0) == ("resumed", follows)
        assert await resumed(add_budget_usd=1.0) == ("left alone", "it is idle, not waiting")
        assert (await found(here.ledger, task)).spec.budget_usd == 1.5


async def test_nobody_is_given_money_unnamed_and_only_who_has_a_budget(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task = await at_work(here.ledger)
        await here.ledger.park(task.id, attempt=1, owner="me", waiting_for=WaitingFor.RETRY, text="later")
        with pytest.raises(BadRequest, match="needs task_ids"):
            await here.service.resume(None, add_budget_usd=1.0)
        for usd in (-1.0, math.nan, 1e9):
            with pytest.raises(BadRequest, match="add_budget_usd"):
                await here.service.resume([task.id], add_budget_usd=usd)
        [told] = (await here.service.resume([task.id], add_budget_usd=1.0)).tasks
        assert (told.action, told.text) == ("left alone", "it has no budget of its own that could be raised")


async def test_what_was_produced_before_the_money_was_spent_can_be_read(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task = await at_work(here.ledger, budget_usd=0.5)
        await here.ledger.checkpoint(task.id, attempt=1, owner="me", progress=None, snapshot={"partial": "half of it"})
        with pytest.raises(BadRequest):
            await here.service.result(task.id)
        await here.ledger.park(task.id, attempt=1, owner="me", waiting_for=WaitingFor.BUDGET, text="spent")
        result = await here.service.result(task.id)
        with pytest.raises(BadRequest):
            await here.service.result(task.id, part="notes")
    assert (result.state, result.text) == ("waiting", "half of it")


async def test_the_same_key_with_another_budget_is_another_request(tmp_path: Path) -> None:
    async with ledger_for_tests(tmp_path) as ledger:
        first = await submitted(ledger, idempotency_key="k", budget_usd=1.0)
        assert (await submitted(ledger, idempotency_key="k", budget_usd=1.0)).id == first.id
        with pytest.raises(BadRequest, match="other arguments"):
            await submitted(ledger, idempotency_key="k", budget_usd=2.0)
