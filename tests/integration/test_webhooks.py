"""Webhooks that become tasks, through a real `omni-mcp serve`.

The payloads are one that OpenClaw 2026.9.6 sent, and two in the shape that GitHub documents; Standard Webhooks are
signed by the reference library.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.integration.house import LIMIT, House, call, ended, house

DATA = Path(__file__).parents[1] / "data"
CRON: Mapping[str, Any] = json.loads((DATA / "openclaw_cron.json").read_text())
STARTS = 90.0
"""Seconds until `omni-mcp serve` listens; measured: 2 to 23."""
pytestmark = pytest.mark.timeout(240)

TOKEN = "a-token-of-16-characters-or-more"
SECRET = "It's a Secret to Everybody"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLdwK"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def a_row(*, task: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a row of webhooks; each is a value of its own, because YAML would write what they share as an alias."""
    filled = {"description": "Look into {job}: {summary}", "type": "echo", "permissions": "full", **(task or {})}
    given = {name: value for name, value in filled.items() if value is not None}
    return {"kind": "openclaw", "token": TOKEN, "task": given, **more}


def signed_row(kind: str, description: str, secret: str, **more: Any) -> dict[str, Any]:
    """Return a row of a sender that signs."""
    task = {"description": description, "type": "echo", "permissions": "full"}
    return {"kind": kind, "secret": secret, "task": task, **more}


ISSUE = (
    "Look into #{/issue/number} {/issue/title} of {/repository/full_name} "
    "({event}, {/issue/labels/0/name}): {/issue/body}"
)
ROWS: Mapping[str, Mapping[str, Any]] = {
    "issues": signed_row("github", ISSUE, SECRET, events=["issues.opened"]),
    "pushes": signed_row("github", "Review {/ref}: {/head_commit/message}", SECRET, events=["push"]),
    "shop": signed_row("standard", "{event} for {/data/customer}: {/data/total}", WHSEC),
}


@dataclass(frozen=True)
class Hooks:
    """A sender of webhooks."""

    client: httpx.AsyncClient

    async def post(self, *, to: str = "claw", headers: Mapping[str, str] | None = None, **said: Any) -> httpx.Response:
        """Deliver the end of a cron run."""
        return await self.client.post(
            f"/hooks/{to}", json={**CRON, **said}, headers=BEARER if headers is None else headers
        )

    async def github(
        self, name: str, *, to: str, delivery: str = GUID, secret: str = SECRET, body: bytes | None = None
    ) -> httpx.Response:
        """Deliver an event as GitHub does."""
        raw = (DATA / f"github_{name}.json").read_bytes() if body is None else body
        headers = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-delivery": delivery,
            "x-github-event": name,
            "x-hub-signature-256": f"sha256={hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}",
        }
        return await self.client.post(f"/hooks/{to}", content=raw, headers=headers)

    async def standard(
        self, *, message: str = "msg_1", sent: datetime | None = None, secret: str = WHSEC, **changes: Any
    ) -> httpx.Response:
        """Deliver a message as Standard Webhooks has it."""
        body = json.dumps({"type": "order.paid", "data": {"customer": "Ada", "total": 12.5}, **changes})
        at = sent or datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": f"v1,c2lnbmVkIGJ5IGFuIG9sZGVyIGtleQ== {Webhook(secret).sign(message, at, body)}",
        }
        return await self.client.post("/hooks/shop", content=body.encode(), headers=headers)


@asynccontextmanager
async def serving(here: House) -> AsyncGenerator[Hooks]:
    """Run `omni-mcp serve` until the body ends, then kill it."""
    async with here.served(limit=STARTS, forked=False) as it:
        async with httpx.AsyncClient(base_url=it.base, timeout=LIMIT * 3) as client:
            yield Hooks(client)
        it.process.kill()


async def test_each_sender_that_delivers_five_times_over_a_kill_gets_one_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(recovery="retry")}, webhooks={"claw": a_row(), **ROWS})
        answers: dict[str, list[httpx.Response]] = {name: [] for name in ("claw", *ROWS)}
        for deliveries in (3, 2):
            async with serving(here) as hooks:  # killed at its end
                for _ in range(deliveries):
                    answers["claw"].append(await hooks.post())
                    answers["issues"].append(await hooks.github("issues", to="issues"))
                    answers["pushes"].append(await hooks.github("push", to="pushes"))
                    answers["shop"].append(await hooks.standard())
        for name, given in answers.items():
            assert [answer.status_code for answer in given] == [202, 200, 200, 200, 200], (name, given[0].text)
            assert len({answer.json()["task_id"] for answer in given}) == 1
        async with here.client() as client:
            tasks = (await call(client, "list_tasks"))["tasks"]
            assert {task["source"] for task in tasks} == {f"hook:{name}" for name in answers}
            for task in tasks:
                assert (await ended(client, task["task_id"]))["state"] == "completed"
        assert len(tasks) == 4
        assert {line["text"] for line in here.logged()} == {
            "Look into probe: a summary",
            OPENED,
            "Review refs/heads/main: Adding a .gitignore file",
            "order.paid for Ada: 12.5",
        }


OPENED = (
    "Look into #1 Spelling error in the README file of Codertocat/Hello-World (issues.opened, bug): "
    "It looks like you accidentally spelled 'commit' with two 't's."
)


async def _too_much() -> AsyncIterator[bytes]:
    """Yield 20 MB, and count what was taken of it."""
    for _ in range(320):
        TAKEN.append(1 << 16)
        yield b"x" * (1 << 16)


TAKEN: list[int] = []


async def _floods(hooks: Hooks) -> None:
    """Send far too much: the line is cut, so who still writes may not hear why."""
    headers = {"content-type": "application/json"}
    with suppress(httpx.HTTPError):
        large = await hooks.client.post("/hooks/issues", content=_too_much(), headers=headers)
        assert large.status_code == 413
    assert sum(TAKEN) < 16 << 20


async def test_what_is_forged_old_not_wanted_or_does_not_map_is_refused_with_its_reason_and_becomes_no_task(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as here:
        slow = signed_row("github", "{event}", SECRET, per_minute=2)
        here.configure(executors={"bench": here.workshop()}, webhooks={**ROWS, "slow": slow})
        async with serving(here) as hooks:
            forged = await hooks.github("issues", to="issues", secret="x" * 26)
            assert (forged.status_code, "X-Hub-Signature-256" in forged.text) == (401, True)
            for sent in (-timedelta(minutes=6), timedelta(minutes=6)):
                old = await hooks.standard(sent=datetime.now(UTC) + sent)
                assert (old.status_code, "not within five minutes" in old.text) == (401, True)
            forged = await hooks.standard(secret="whsec_" + "A" * 32)
            assert (forged.status_code, "No matching signature" in forged.text) == (401, True)
            unmapped = await hooks.standard(data={"customer": "Ada"})
            assert (unmapped.status_code, "the payload has no '/data/total'" in unmapped.text) == (422, True)
            broken = await hooks.github("issues", to="issues", body=b"[" * 100_000)
            assert (broken.status_code, "the body is no JSON" in broken.text) == (422, True)
            for name, to in (("push", "issues"), ("issues", "pushes"), ("ping", "slow")):
                body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}' if name == "ping" else None
                other = await hooks.github(name, to=to, body=body)
                assert (other.status_code, "nothing to do" in other.text) == (200, True)
            await _floods(hooks)
            assert json.loads((await here.cli("list", "--json"))[1])["tasks"] == []
            paced = [await hooks.github("push", to="slow", delivery=f"{GUID}{n}") for n in range(3)]
            assert [answer.status_code for answer in paced] == [202, 202, 429]
            assert 0 < int(paced[2].headers["retry-after"]) <= 60
            same = await hooks.github("issues", to="slow", delivery=f"{GUID}0")
            assert same.status_code == 429


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
            assert (await hooks.post(summary="x" * 1_100_000)).status_code == 413
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
        (a_row(kind="github"), "of kind github needs secret, and has no token"),
        (a_row(kind="gitlab"), "'openclaw', 'standard' or 'github'"),
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
