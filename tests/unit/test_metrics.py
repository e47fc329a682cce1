"""What `/metrics` tells of a ledger: the official parsers accept it, lines keep their meaning, no task is told of."""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.to_thread import run_sync
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed
from starlette.applications import Starlette
from starlette.routing import Route

from omni_mcp.faces import metrics
from omni_mcp.faces.metrics import Meter, Seen
from omni_mcp.ledger import measure_statements
from omni_mcp.ledger.base import ExecutorHealth
from omni_mcp.ledger.sqlite import SqliteLedger, SqliteStore
from omni_mcp.ledger.store import Values
from omni_mcp.task import Choice, Completed, Mode, TaskState, Usage, new_id
from omni_mcp.testing import ToldClock, a_spec, ledger_for_tests
from tests.unit.test_service import place

LEDGERS = "slow"
"""What is said here holds for each kind of ledger."""

LIMIT = 60.0
"""Seconds that anything may take on a busy machine."""
SECRET = "the plans of alice"
Lines = dict[tuple[str, tuple[str, ...]], float]


async def page(ledger: SqliteLedger, clock: ToldClock) -> str:
    seen = Seen(
        at=clock.now(),
        measures=await ledger.measures(),
        mode=Mode.DEGRADED,
        engine=True,
        health=[ExecutorHealth(name="claude_code", usable=False, detail=SECRET, seen_at=clock.now())],
    )
    encode, kind = choose_encoder("application/openmetrics-text;version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert any(openmetrics.text_string_to_metric_families(encode(seen).decode()))  # pyright: ignore
    return choose_encoder("text/plain")[0](seen).decode()


def lines_of(text: str) -> Lines:
    """Return all lines by name and labels, these in the order of their names; there are no two of the same."""
    samples = [sample for family in parsed(text) for sample in family.samples]
    lines = {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value for sample in samples
    }
    assert len(lines) == len(samples)
    return lines


async def lines(ledger: SqliteLedger, clock: ToldClock) -> Lines:
    return lines_of(await page(ledger, clock))


async def at_work(ledger: SqliteLedger, *, executor: str = "fake") -> str:
    """Have a task executing."""
    task = (await ledger.submit(a_spec(description=SECRET), task_id=new_id(), choice=None)).task
    await ledger.begin(task.id, owner="o")
    choice = Choice(executor=executor, requested=executor, model="m", reason="because")
    await ledger.bind(task.id, attempt=1, owner="o", choice=choice, endpoint="direct", run_id="r")
    return task.id


async def spend(ledger: SqliteLedger, usage: Usage, clock: ToldClock, *, seconds: float = 0) -> None:
    opened = await ledger.open_usage(usage)
    clock.advance(timedelta(seconds=seconds))
    await ledger.close_usage(opened, usage)


async def test_tasks_attempts_queue_mode_and_health_are_told_without_a_word_of_a_task(tmp_path: Path) -> None:
    clock = ToldClock()
    async with ledger_for_tests(tmp_path, clock) as ledger:
        done = await at_work(ledger)
        await ledger.finish(done, attempt=1, owner="o", state=TaskState.COMPLETED, outcome=Completed(text=SECRET))
        await at_work(ledger)
        await ledger.submit(a_spec(description=SECRET), task_id=new_id(), choice=None)
        clock.advance(timedelta(seconds=90))
        await ledger.submit(a_spec(description=SECRET), task_id=new_id(), choice=None)
        found = await lines(ledger, clock)
        assert found["omni_tasks_open", ("fake", "executing", "")] == 1
        assert found["omni_tasks_open", ("", "idle", "")] == 2
        assert found["omni_tasks_over", ("completed",)] == 1
        assert found["omni_tasks_over", ("failed",)] == 0
        assert found["omni_queue_oldest_seconds", ()] == 90
        assert found["omni_attempts", ("completed", "fake")] == 1
        assert found["omni_attempts", ("running", "fake")] == 1
        assert [found["omni_mode", (mode,)] for mode in Mode] == [0, 1, 0]
        assert found["omni_engine_up", ()] == 1
        assert found["omni_executor_usable", ("claude_code",)] == 0
        assert SECRET not in await page(ledger, clock)


async def test_calls_cost_tokens_and_how_long_they_took_are_counters_that_survive_a_purge(tmp_path: Path) -> None:
    clock = ToldClock()
    async with ledger_for_tests(tmp_path, clock) as ledger:
        task = await at_work(ledger)
        asked = Usage(task_id=task, attempt=1, model="m", input_tokens=7, output_tokens=3, cost_usd=0.25)
        await spend(ledger, asked, clock, seconds=2)
        await spend(ledger, replace(asked, cost_usd=None), clock, seconds=20)
        await ledger.open_usage(asked)
        await ledger.finish(task, attempt=1, owner="o", state=TaskState.COMPLETED, outcome=Completed(text="done"))
        before = await lines(ledger, clock)
        assert before["omni_model_calls_total", ("fake", "m")] == 2
        assert before["omni_model_calls_unknown_cost_total", ("fake", "m")] == 1
        assert before["omni_model_calls_open", ()] == 1
        assert before["omni_cost_usd_total", ("fake", "m")] == 0.25
        assert before["omni_tokens_total", ("fake", "input", "m")] == 14
        assert before["omni_tokens_total", ("fake", "output", "m")] == 6
        took = {
            labels[0]: value for (name, labels), value in before.items() if name == "omni_model_call_seconds_bucket"
        }
        assert [took[upto] for upto in ("1.0", "2.5", "10.0", "30.0", "+Inf")] == [0, 1, 1, 2, 2]
        assert before["omni_model_call_seconds_sum", ()] == 22
        clock.advance(timedelta(days=400))
        assert await ledger.purge(clock.now()) == 1
        after = await lines(ledger, clock)
        assert after["omni_tasks_over", ("completed",)] == 0
        counted = {line: value for line, value in before.items() if line[0].endswith(("_total", "_bucket", "_sum"))}
        assert {line: after[line] for line in counted} == counted


async def test_a_model_that_comes_late_is_told_with_others_and_long_or_odd_names_break_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ToldClock()
    bounded = measure_statements.CALLS.replace(f"<= {measure_statements.PAIRS}", "<= 3")
    monkeypatch.setattr(measure_statements, "CALLS", bounded)
    async with ledger_for_tests(tmp_path, clock) as ledger:
        task = await at_work(ledger)
        usage = Usage(task_id=task, attempt=1, model="m", cost_usd=1.0)
        for model in ("long" * 100 + "a", "long" * 100 + "b", 'odd "\n\\名', "other", "fourth", "fifth"):
            clock.advance(timedelta(seconds=1))
            await spend(ledger, replace(usage, model=model), clock)
        found = await lines(ledger, clock)
        usd = {labels: value for (name, labels), value in found.items() if name == "omni_cost_usd_total"}
        own = {("fake", "long" * 25): 2, ("fake", 'odd "\n\\名'): 1, ("fake", "other"): 1}
        assert usd == {**own, ("other", "other"): 2}


async def test_an_empty_ledger_has_a_page(tmp_path: Path) -> None:
    clock = ToldClock()
    async with ledger_for_tests(tmp_path, clock) as ledger:
        found = await lines(ledger, clock)
        assert found["omni_queue_oldest_seconds", ()] == 0
        assert found["omni_model_call_seconds_count", ()] == 0


@pytest.mark.sqlite  # the thread of its reader
async def test_while_a_large_ledger_is_counted_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting, read = threading.Event(), threading.Event()

    def counts(store: SqliteStore, statement: str, values: Values) -> Sequence[sqlite3.Row]:
        counting.set()
        assert read.wait(LIMIT)
        return here(store, statement, values)

    here = vars(SqliteStore)["_read_aside"]
    monkeypatch.setattr(SqliteStore, "_read_aside", counts)
    async with ledger_for_tests(tmp_path) as ledger, anyio.create_task_group() as tasks:
        task_id = await at_work(ledger)
        tasks.start_soon(ledger.measures)
        assert await run_sync(counting.wait, LIMIT)
        with anyio.fail_after(LIMIT / 2):
            assert (await ledger.find(task_id, principal=None)).state is TaskState.EXECUTING
        read.set()


async def test_who_asks_at_once_or_soon_again_is_served_by_one_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path) as here:
        meter = Meter(lambda: here.service, None)
        app = Starlette(routes=[Route(metrics.PATH, meter.take)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:

            async def open_tasks() -> float:
                found = lines_of((await client.get(metrics.PATH)).text)
                return sum(value for (name, _), value in found.items() if name == "omni_tasks_open")

            assert await open_tasks() == 0
            await here.submitted()
            assert await open_tasks() == 0
            monkeypatch.setattr(metrics, "KEPT", 0)
            assert await open_tasks() == 1
