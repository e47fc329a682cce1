"""Money through the public surface: real engines, relay, LiteLLM's Router, assistant and Claude Code; stub clouds."""

import csv
import io
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import connect
from typing import Any

import anyio
import httpx
import pytest
from fastmcp import Client

from omni_mcp.demo.cloud import OK, Cloud, Seen, running_cloud
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.llm.price_table import cost_usd, price_table
from omni_mcp.llm.usage import Tokens
from omni_mcp.task import Choice, Task, new_id
from omni_mcp.testing import a_spec, ledger_for_tests
from tests.integration.executors import stub_adapter
from tests.integration.house import STUBS, House, call, ended, free_port, house, refused, until
from tests.integration.test_claude_code import BINARY, script, shell
from tests.stubs.spender import BODY

HAIKU = {"input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6}
"""What LiteLLM's list has for claude-haiku-4-5."""
ASSISTANT = {"preset": "assistant", "handles": ["general"], "parallel": 4}
LIMIT = 150.0
"""Seconds that anything may take here."""
RELAYS, CALLERS = 3, 30
"""Relays that spend one day, and who calls through each at once."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all that these tests start live at noon, so that no day ends meanwhile."""
    monkeypatch.setenv("TZ", f"NOON{datetime.now(UTC).hour - 12:+d}")


def by_router(cloud: Cloud) -> dict[str, Any]:
    """LiteLLM's Router in the engine."""
    params = {"model": "openai/demo", "api_base": f"{cloud.url}/v1", "api_key": "not-a-key", **HAIKU}
    return {"models": {"model_list": [{"model_name": "demo", "litellm_params": params}]}}


def directly(cloud: Cloud) -> dict[str, Any]:
    """A proxy that is not there, and a provider behind it."""
    return {
        "models": {"gateway": {"base_url": f"http://127.0.0.1:{free_port()}", "for": {"default": "auto"}}},
        "direct": {"anthropic": {"base_url": cloud.url, "key": "sk-x", "models": {"default": "claude-haiku-4-5"}}},
        "notify": {"desktop": False},
    }


def usage_rows(here: House) -> Sequence[tuple[Any, ...]]:
    """Return input tokens, output tokens, USD, source and endpoint of each row."""
    statement = "select input_tokens, output_tokens, cost_usd, price_source, endpoint from usage"
    with closing(connect(f"{here.home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(statement).fetchall()


def bill_of(tokens: tuple[int, int]) -> float:
    return tokens[0] * HAIKU["input_cost_per_token"] + tokens[1] * HAIKU["output_cost_per_token"]


@pytest.mark.parametrize(
    ("way", "priced"),
    [
        pytest.param(by_router, ("config", "litellm-router"), marks=[pytest.mark.litellm, pytest.mark.slow]),
        (directly, ("litellm", "direct")),
    ],
)
async def test_what_is_known_and_what_is_not_is_the_clouds_bill_over_kills(
    way: Any, priced: tuple[str, str], tmp_path: Path
) -> None:
    async with house(tmp_path) as here, running_cloud() as cloud:
        here.configure(executors={"assistant": ASSISTANT}, **way(cloud))
        async with here.client() as client:
            if way is directly:
                await call(client, "system_mode", set="degraded")
            await completed(client, await submitted(client, {"text": "warm"}))
            ids = [await submitted(client, {"text": f"answer {n}", "sleep": 1.0}) for n in range(4)]
            for _ in range(2 if way is directly else 1):  # the Router costs seconds to load
                await asked_again(cloud)
                os.kill(await here.engine_pid(), signal.SIGKILL)
            done = [await completed(client, task_id) for task_id in ids]
            costs = json.loads((await here.cli("costs", "--json"))[1])
    known, unknown = on_the_books(here, cloud, *priced)
    assert costs["total"]["usd"] == pytest.approx(sum(map(bill_of, known)))
    assert (costs["total"]["unknown_calls"], costs["total"]["paid_calls"]) == (unknown, len(known))
    warm = bill_of((cloud.requests[0].input_tokens, cloud.requests[0].output_tokens))
    assert sum(task["cost_usd"] for task in done) == pytest.approx(costs["total"]["usd"] - warm)
    assert sum(task.get("cost_unknown_calls", 0) for task in done) == unknown


async def test_costs_by_route_are_the_bill_of_each_layer_in_json_csv_and_the_resource(tmp_path: Path) -> None:
    """Two providers; the first one fails after its first answer, so that the second has the other two."""
    models = ("deepseek-chat", "gpt-4o-mini")
    async with house(tmp_path) as here, running_cloud() as first, running_cloud() as second:
        clouds = (first, second)
        direct = {
            name: {"base_url": f"{cloud.url}/v1", "key": "sk-x", "dialect": "openai", "models": {"default": model}}
            for name, cloud, model in zip(("deepseek", "openai"), clouds, models, strict=True)
        }
        here.configure(executors={"assistant": ASSISTANT}, **{**directly(first), "direct": direct})
        async with here.client() as client:
            await call(client, "system_mode", set="degraded")
            for number in range(3):
                await completed(client, await submitted(client, {"text": f"answer {number}"}))
                first.fail("503")
            resource = json.loads((await client.read_resource("omni://costs"))[0].text)  # type: ignore[union-attr]
        told = json.loads((await here.cli("costs", "--json", "--by", "route"))[1])
        rows = list(csv.DictReader(io.StringIO((await here.cli("costs", "--csv", "--by", "route"))[1])))
    answered = {cloud: [seen for seen in cloud.requests if seen.mode == OK] for cloud in clouds}
    assert [len(seen) for seen in answered.values()] == [1, 2]
    bills = {
        f"{model} at 127.0.0.1:{cloud.port}": pytest.approx(sum(charged(name, model, seen) for seen in answered[cloud]))
        for name, model, cloud in zip(direct, models, clouds, strict=True)
    }
    assert {each["name"]: each["usd"] for each in told["by"]["route"] if each["usd"]} == bills
    assert told["by"]["route"] == resource["by"]["route"]
    assert {each["name"]: float(each["usd"]) for each in rows if float(each["usd"])} == bills
    assert told["total"]["usd"] == pytest.approx(sum(float(each["usd"]) for each in rows))


def charged(provider: str, model: str, seen: Seen) -> float:
    """Return what a provider charges for an answer, by LiteLLM's list."""
    tokens = Tokens(input=seen.input_tokens, output=seen.output_tokens)
    return cost_usd(price_table(), model, [provider], tokens) or 0


async def submitted(client: Client[Any], *steps: dict[str, Any]) -> str:
    return (await call(client, "submit_task", description=script(*steps)))["task_id"]


async def asked_again(cloud: Cloud) -> None:
    """Wait for one more model call."""
    await asked_in_all(cloud, len(cloud.requests) + 1)


def on_the_books(here: House, cloud: Cloud, source: str, endpoint: str) -> tuple[list[tuple[int, int]], int]:
    """Compare the rows with what the cloud was asked; returns the tokens of the known ones, and how many are not."""
    rows, asked = usage_rows(here), Counter((seen.input_tokens, seen.output_tokens) for seen in cloud.requests)
    known = [row for row in rows if row[2] is not None]
    tokens = Counter((row[0], row[1]) for row in known)
    assert tokens <= asked
    assert len(rows) - len(known) >= (asked - tokens).total() >= 1
    assert all(row[2] == pytest.approx(bill_of(row[:2])) for row in known)
    assert {(row[3], row[4]) for row in known} == {(source, endpoint)}
    return list(tokens.elements()), len(rows) - len(known)


async def completed(client: Client[Any], task_id: str) -> dict[str, Any]:
    """Wait until a task is completed, whatever it waits for on the way."""

    async def is_completed() -> dict[str, Any] | None:
        seen = await ended(client, task_id, limit=LIMIT)
        assert seen["state"] in ("waiting", "completed"), seen
        return seen if seen["state"] == "completed" else None

    return await until(is_completed, limit=LIMIT)


@pytest.mark.claude
@pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code")
async def test_claude_waits_with_what_it_has_when_its_budget_is_spent_and_goes_on_with_more(tmp_path: Path) -> None:
    """The engine dies while the task waits: the budget and the money that is spent are in the ledger."""
    log = tmp_path / "log"
    steps = [shell(f"echo step-{n} >> {log}", text=f"now step {n}") for n in (1, 2, 3)]
    async with house(tmp_path) as here, running_cloud() as cloud:
        row = {"preset": "claude-code", "command": BINARY, "handles": ["coding"], "login": "relay"}
        here.configure(executors={"claude_code": row}, **directly(cloud))
        async with here.client() as client:
            await call(client, "system_mode", set="degraded")
            asked = {"type": "coding", "cwd": str(tmp_path), "budget_usd": 1e-5}
            task = await call(client, "submit_task", description=script(*steps, {"text": "all is done"}), **asked)
            waits = await ended(client, task["task_id"], limit=LIMIT)
            assert (waits["state"], waits["waiting_for"], waits["attempt"]) == ("waiting", "budget", 1), waits
            assert waits["text"].startswith("the budget of this task is reached, $0.0")
            assert (waits["budget_usd"], "due_at" in waits, waits["cost_usd"] >= 1e-5) == (1e-5, False, True)
            assert (len(cloud.requests), log.read_text().split()) == (1, ["step-1"])
            produced = await call(client, "task_result", task_id=task["task_id"])
            assert (produced["state"], produced["text"]) == ("waiting", "now step 1")
            os.kill(await here.engine_pid(), signal.SIGKILL)
            done = await given_more(client, task["task_id"])
            result = await call(client, "task_result", task_id=task["task_id"])
            listed = (await call(client, "list_tasks"))["tasks"]
    assert (done["state"], done["attempt"], result["text"]) == ("completed", 2, "all is done")
    assert log.read_text().split() == ["step-1", "step-2", "step-3"]
    bill = sum(bill_of((seen.input_tokens, seen.output_tokens)) for seen in cloud.requests)
    assert done["cost_usd"] == pytest.approx(bill)
    assert (done["budget_usd"], "cost_unknown_calls" in done) == (0.50001, False)
    assert [(row["cost_usd"], row["budget_usd"]) for row in listed] == [(done["cost_usd"], 0.50001)]


async def given_more(client: Client[Any], task_id: str) -> dict[str, Any]:
    """Have a task go on that only more money lets go on; returns how it ends."""
    plain = await call(client, "resume_pending")
    assert [each["action"] for each in plain["tasks"]] == ["left alone"]
    more = {"task_ids": [task_id], "add_budget_usd": 0.5}
    dry = await call(client, "resume_pending", **more, dry_run=True)
    assert "its budget becomes $0.50001" in dry["tasks"][0]["text"]
    await call(client, "resume_pending", **more)
    return await ended(client, task_id, limit=LIMIT)


@pytest.mark.parametrize("open_calls_count", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_three_relays_spend_one_day_over_a_kill_and_go_beyond_it_by_no_more_than_what_was_in_flight(
    open_calls_count: bool, tmp_path: Path
) -> None:
    """Each a process with a relay of its own, as three engines on one ledger would be; a fourth takes over from one.

    Where `limits.unknown_usd` is what a call costs, those in flight are counted as well, and nothing goes beyond.
    """
    calls = 300
    async with running_cloud(delay=0.05) as cloud, ledger_for_tests(tmp_path) as ledger:
        task, price = await a_bound_task(ledger), await price_of_a_call(cloud)
        limits = (str(calls * price), str(price if open_calls_count else 0.0), str(CALLERS))
        argv = [sys.executable, str(STUBS / "spender.py"), str(tmp_path / "ledger.db"), cloud.url, task.id, *limits]
        told = await spent_over_a_kill(argv, cloud, calls // 3)
        spent = await ledger.find(task.id, principal=task.spec.principal)
    known, lost = round((spent.cost_usd or 0) / price), spent.cost_unknown_calls
    assert sum(served for served, _ in told) <= known <= len(cloud.requests) <= known + lost
    assert all(stopped for _, stopped in told)
    assert lost <= CALLERS
    assert 0 <= known + lost - calls <= (0 if open_calls_count else RELAYS * CALLERS + lost), (known, lost)


async def spent_over_a_kill(argv: Sequence[str], cloud: Cloud, kill_at: int) -> Sequence[tuple[int, int]]:
    """Have relays spend until they are stopped, one of them killed and replaced; returns what the others told."""
    told: list[tuple[int, int]] = []

    async def spend() -> None:
        done = await anyio.run_process(argv, stderr=None)
        served, stopped = map(int, done.stdout.split())
        told.append((served, stopped))

    async with anyio.create_task_group() as group, await anyio.open_process(argv, stderr=None) as victim:
        for _ in range(RELAYS - 1):
            group.start_soon(spend)
        await asked_in_all(cloud, kill_at)
        victim.kill()
        group.start_soon(spend)
    return told


async def a_bound_task(ledger: SqliteLedger) -> Task:
    """Submit a task and have it at work."""
    choice = Choice(executor="e", requested="e", model=None, reason="because")
    task = (await ledger.submit(a_spec(), task_id=new_id(), choice=choice)).task
    await ledger.begin(task.id, owner="me")
    await ledger.bind(task.id, attempt=1, owner="me", choice=choice, endpoint="direct", run_id="r")
    return await ledger.find(task.id, principal=None)


async def price_of_a_call(cloud: Cloud) -> float:
    """Return what one call of a spender costs, which is always the same."""
    async with httpx.AsyncClient(timeout=LIMIT) as client:
        await client.post(f"{cloud.url}/v1/messages", json={**BODY, "model": "any"})
    seen = cloud.requests.pop()
    return bill_of((seen.input_tokens, seen.output_tokens))


async def asked_in_all(cloud: Cloud, count: int) -> None:
    """Wait until the cloud was asked so often."""
    await until(lambda: len(cloud.requests) >= count, limit=LIMIT)


async def test_costs_are_the_same_in_tool_resource_and_terminal_and_runs_of_own_login_are_in_them(
    tmp_path: Path,
) -> None:
    row = stub_adapter(recovery="retry", daily_usd=1.0)
    async with house(tmp_path) as here:
        here.configure(executors={"agent": row.model_dump(mode="json", exclude_defaults=True)})
        async with here.client() as client:
            await spend_the_day(client)
            held = await call(client, "submit_task", description="spend completed 9", executor="agent")
            waits = await ended(client, held["task_id"])
            assert (waits["state"], waits["waiting_for"], waits["attempt"]) == ("waiting", "budget", 0)
            assert waits["text"].startswith("executors.agent.daily_usd is reached, $1 of $1 spent since midnight")
            assert "sooner if you raise executors.agent.daily_usd" in waits["text"]
            assert waits["due_at"]
            resource = json.loads((await client.read_resource("omni://costs"))[0].text)  # type: ignore[union-attr]
            resumed = await call(client, "resume_pending", dry_run=True)
            assert "may still be reached" in resumed["tasks"][0]["text"]
        assert json.loads((await here.cli("costs", "--json"))[1]) == resource
        assert "executors.agent.daily_usd: $1 of $1 spent today" in (await here.cli("costs"))[1]
        lines = (await here.cli("costs", "--csv", "--by", "executor", "--by", "task"))[1]
    assert (resource["total"]["usd"], resource["total"]["calls"]) == (1.0, 3)
    assert [(cost["name"], cost["usd"]) for cost in resource["by"]["model"]] == [("agent-1", 1.0)]
    assert [(each["budget"], each["spent_usd"], each["reached"]) for each in resource["budgets"]] == [
        ("executors.agent.daily_usd", 1.0, True)
    ]
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert Counter(each["by"] for each in rows) == {"executor": 1, "task": 3}
    assert sum(float(each["usd"]) for each in rows if each["by"] == "task") == 1.0


async def spend_the_day(client: Client[Any]) -> None:
    """Have three runs cost a dollar, one of which fails."""
    for state, usd in (("completed", 0.5), ("failed", 0.25), ("completed", 0.25)):
        task = await call(client, "submit_task", description=f"spend {state} {usd}", executor="agent")
        seen = await ended(client, task["task_id"])
        assert (seen["state"], seen["cost_usd"]) == (state, usd)


async def test_a_budget_that_cannot_be_kept_is_refused_on_the_command_line_too(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            for usd in (-1, 0, 1e12):
                error = await refused(client, "resume_pending", task_ids=["abcdef"], add_budget_usd=usd)
                assert (error["code"], "add_budget_usd" in error["message"]) == ("bad_request", True)
        code, said = await here.cli("submit", "x", "--budget-usd=nan")
        assert (code, "no amount in USD" in said) == (1, True), said
        code, said = await here.cli("submit", "x", "--type", "echo", "--budget-usd", "1")
        assert (code, "bench costs is not known" in said) == (1, True)
