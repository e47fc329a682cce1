"""Webhooks that become tasks, through a real `omni-mcp serve`; the payload is one that OpenClaw 2026.9.6 sent."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.house import LIMIT, House, call, ended, house

CRON: Mapping[str, Any] = json.loads((Path(__file__).parents[1] / "data/openclaw_cron.json").read_text())
STARTS = 90.0
"""Seconds until `omni-mcp serve` listens; measured: 2 to 23."""
pytestmark = pytest.mark.timeout(240)

TOKEN = "a-token-of-16-characters-or-more"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def a_row(*, task: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a row of webhooks; each is a value of its own, because YAML would write what they share as an alias."""
    filled = {"description": "Look into {job}: {summary}", "type": "echo", "permissions": "full", **(task or {})}
    given = {name: value for name, value in filled.items() if value is not None}
    return {"kind": "openclaw", "token": TOKEN, "task": given, **more}


@dataclass(frozen=True)
class Hooks:
    """A sender of webhooks."""

    client: httpx.AsyncClient

    async def post(self, *, to: str = "claw", headers: Mapping[str, str] | None = None, **said: Any) -> httpx.Response:
        """Deliver the end of a cron run."""
        return await self.client.post(
            f"/hooks/{to}", json={**CRON, **said}, headers=BEARER if headers is None else headers
        )


@asynccontextmanager
async def serving(here: House) -> AsyncGenerator[Hooks]:
    """Run `omni-mcp serve` until the body ends, then kill it."""
    async with here.served(limit=STARTS) as it:
        async with httpx.AsyncClient(base_url=it.base, timeout=LIMIT * 3) as client:
            yield Hooks(client)
        it.process.kill()


async def test_a_run_that_is_delivered_five_times_over_a_kill_becomes_one_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(recovery="retry")}, webhooks={"claw": a_row()})
        answers: list[httpx.Response] = []
        for deliveries in (3, 2):
            async with serving(here) as hooks:
                answers += [await hooks.post() for _ in range(deliveries)]
        assert [answer.status_code for answer in answers] == [202, 200, 200, 200, 200]
        [task_id] = {answer.json()["task_id"] for answer in answers}
        async with here.client() as client:
            assert [task["task_id"] for task in (await call(client, "list_tasks"))["tasks"]] == [task_id]
            done = await ended(client, task_id)
            assert (done["state"], done["source"]) == ("completed", "hook:claw")
        assert {line["text"] for line in here.logged()} == {"Look into probe: a summary"}


async def test_what_is_no_delivery_of_the_source_is_refused_with_its_status_and_becomes_no_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        rows = {
            "claw": a_row(),
            "lacks": a_row(token="${NOT_SET}"),
            "strict": a_row(task={"permissions": None}),
        }
        here.configure(executors={"bench": here.workshop()}, webhooks=rows)
        async with serving(here) as hooks:

            async def status(of: httpx.Response) -> tuple[int, str]:
                return of.status_code, of.json().get("message", "")

            assert await status(await hooks.post(headers={})) == (401, "the bearer token is not that of this source")
            assert (await hooks.post(headers={"authorization": f"Bearer {TOKEN}x"})).status_code == 401
            assert (await hooks.post(headers={"authorization": f"Basic {TOKEN}"})).status_code == 401
            for name in ("nobody", "lacks"):
                assert (await hooks.post(to=name)).status_code == 404
            assert (await hooks.post(headers={**BEARER, "content-type": "text/plain"})).status_code == 415
            assert (await hooks.post(summary="x" * 300_000)).status_code == 413
            code, said = await status(await hooks.post(runAtMs=None))
            assert (code, "runAtMs" in said) == (422, True)
            assert await status(await hooks.post(to="strict")) == (422, "bench cannot keep options.permissions")
            assert "action" in (await status(await hooks.post(action="started")))[1]
            assert (await hooks.client.get("/hooks/claw")).status_code == 405
            assert (await hooks.post(headers={**BEARER, "host": "evil.example"})).status_code == 421
            failed = await hooks.post(status="error", runAtMs=1)
            assert (failed.status_code, "nothing to do" in failed.text) == (200, True)
        assert json.loads((await here.cli("list", "--json"))[1])["tasks"] == []


async def test_another_run_is_another_task_and_the_same_run_with_other_words_a_conflict(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()}, webhooks={"claw": a_row(), "other": a_row()})
        async with serving(here) as hooks:
            first = await hooks.post()
            assert (await hooks.post(summary="something else")).status_code == 409
            others = [await hooks.post(runAtMs=1), await hooks.post(to="other")]
            assert [answer.status_code for answer in others] == [202, 202]
            assert len({answer.json()["task_id"] for answer in (first, *others)}) == 3


async def test_a_task_of_a_webhook_is_read_only_unless_its_row_says_more(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        less, more = a_row(task={"permissions": None}), a_row(task={"permissions": "edit"})
        adapter = {"command": "not-there", "handles": ["echo"]}
        here.configure(executors={"bench": adapter}, webhooks={"claw": less, "more": more})
        async with serving(here) as hooks:
            ids = [(await hooks.post(to=name)).json()["task_id"] for name in ("claw", "more")]
        options = [await _options(here, task_id) for task_id in ids]
        assert options == [{"permissions": "read-only"}, {"permissions": "edit"}]


async def _options(here: House, task_id: str) -> Any:
    from omni_mcp.ledger.sqlite import SqliteLedger
    from omni_mcp.task import LOCAL

    async with SqliteLedger(here.home.ledger) as ledger:
        return (await ledger.find(task_id, principal=LOCAL)).spec.options


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (a_row(token="short"), "fewer than 16 characters"),
        (a_row(task={"description": "{sumary}"}), "'sumary'; there are: summary, error"),
        (a_row(kind="github"), "'openclaw'"),
    ],
)
async def test_a_row_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, row: Any, said: str) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()}, webhooks={"claw": row})
        code, told = await here.cli("mode", "--json")
        assert code == 0
        [problem] = json.loads(told)["problems"]
        assert "webhooks.claw" in problem
        assert said in problem
