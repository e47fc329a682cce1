"""Outages through the public surface: real engine, real relay, real assistant; the proxy and the clouds are stubs."""

import json
import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import pytest
from fastmcp import Client

from omni_mcp import background
from tests.forkserver import command
from tests.integration.house import House, call, house, refused, until
from tests.integration.outages import Place, in_mode, place
from tests.receiver import HANGS, SECRET, Receiver, receiver

QUICK = {
    "check_interval": 0.2,
    "consecutive_failures": 3,
    "lite_llm_timeout": 10,
    "cloud_check_timeout": 10,
    "confirm_delay": 0.05,
    "confirm_timeout": 10,
    "success_memory": 0.1,
    "min_dwell": 0.3,
    "max_dwell": 1.0,
    "recover_spacing": 0.05,
}
LIMIT = 90.0
"""Seconds that anything may take here."""
pytestmark = pytest.mark.timeout(240)
STEPS = 'SCRIPT:[{"text": "done"}]'


@dataclass
class Stage:
    """A home with a proxy, a provider and a client."""

    at: House
    proxy: Place
    provider: Place
    client: Client[Any]

    async def mode(self) -> dict[str, Any]:
        return await call(self.client, "system_mode")

    async def in_mode(self, mode: str) -> dict[str, Any]:
        """Wait until a mode holds."""
        return await in_mode(self.client, mode, limit=LIMIT)

    async def submit(self, description: str = STEPS, **more: Any) -> str:
        return (await call(self.client, "submit_task", description=description, **more))["task_id"]

    async def status(self, task_id: str) -> dict[str, Any]:
        return await call(self.client, "task_status", task_id=task_id)

    async def waiting(self, task_id: str, for_what: str = "cloud") -> dict[str, Any]:
        async def waits() -> dict[str, Any] | None:
            seen = await self.status(task_id)
            return seen if seen.get("waiting_for") == for_what else None

        return await until(waits, limit=LIMIT)

    async def completed(self, *task_ids: str) -> list[dict[str, Any]]:
        """Wait until tasks are completed, whatever they wait for on the way."""

        async def are_completed() -> list[dict[str, Any]] | None:
            seen = [await self.status(task_id) for task_id in task_ids]
            assert not [each for each in seen if each["state"] == "failed"], seen
            return seen if {each["state"] for each in seen} == {"completed"} else None

        return await until(are_completed, limit=LIMIT)


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    key: str | None = "sk-backup",
    executors: Mapping[str, Any] | None = None,
    webhooks: Sequence[Receiver] = (),
) -> AsyncGenerator[Stage]:
    async with house(folder) as at, place() as proxy, place() as provider:
        direct = {"base_url": provider.url, "models": {"default": "direct-usual", "coding": "direct-strong"}}
        at.configure(
            executors={
                **(executors or {}),
                "assistant": {"preset": "assistant", "handles": ["general", "coding"], "parallel": 4},
                "echo": at.workshop(recovery="retry", needs_cloud=False),
            },
            routing={"rules": [], "default": "assistant"},
            models={"gateway": {"base_url": proxy.url, "api_key": "sk-master", "for": {"default": "auto-chat"}}},
            direct={"anthropic": {**direct, **({} if key is None else {"key": key})}},
            fault_handler=QUICK,
            notify={"desktop": False, "webhooks": [{"url": each.url, "secret": SECRET} for each in webhooks]},
        )
        async with at.client() as client:
            yield Stage(at, proxy, provider, client)


async def test_when_the_proxy_dies_tasks_go_on_directly_and_come_back_to_it(tmp_path: Path):
    async with stage(tmp_path) as on:
        (before,) = await on.completed(await on.submit())
        assert (before["endpoint"], before["model"]) == ("litellm-proxy", "auto-chat")
        await on.proxy.shut()
        seen = await on.in_mode("degraded")
        assert "LiteLLM" in seen["cause"]
        assert seen["evidence"]["anthropic"].startswith("answers")
        usual, strong = await on.completed(await on.submit(), await on.submit(type="coding"))
        assert (usual["endpoint"], usual["model"]) == ("direct", "direct-usual")
        assert (strong["endpoint"], strong["model"]) == ("direct", "direct-strong")
        assert usual["mode"].startswith("degraded since")
        assert sorted(on.provider.models) == ["direct-strong", "direct-usual"]
        await on.proxy.open()
        seen = await on.in_mode("normal")
        (after,) = await on.completed(await on.submit())
        assert (after["endpoint"], after["model"]) == ("litellm-proxy", "auto-chat")
        assert "mode" not in after
        assert [line.split(" UTC ")[1].split(":")[0] for line in seen["history"]] == [
            "degraded → normal",
            "normal → degraded",
        ]


async def test_when_no_cloud_answers_tasks_wait_and_complete_by_themselves_with_no_fault(tmp_path: Path):
    async with stage(tmp_path) as on:
        await on.completed(await on.submit())
        await on.proxy.shut()
        await on.provider.shut()
        met_it = await on.submit()
        await on.in_mode("brainstem")
        queued = [await on.submit() for _ in range(6)]
        held = await on.waiting(queued[-1])
        assert "no cloud answers" in held["text"]
        assert held["mode"].startswith("brainstem since")
        await on.waiting(met_it)
        assert (await on.mode())["held"] == {"cloud": 7}
        echoed = await on.submit("no cloud is needed here", type="echo")
        await on.completed(echoed)
        assert (await on.status(queued[0]))["attempt"] == 0
        await on.provider.open()
        await on.proxy.open()
        done = await on.completed(met_it, *queued)
        assert [task["attempt"] for task in done[1:]] == [1] * 6
        assert await faults(on.at) == 0
        changes, notices = await told(on.at)
        assert changes == notices
        assert [mode for mode in changes if mode == "brainstem"] == ["brainstem"]


async def faults(at: House) -> int:
    """Return how many faults all tasks have in all."""
    return (await rows(at, "select sum(faults) from tasks"))[0][0]


async def told(at: House) -> tuple[list[str], list[str]]:
    """Return the changes of mode and the notices of them, oldest first."""
    changes = await rows(at, "select mode from mode_changes order by n")
    notices = await rows(at, "select text from notices where kind = 'mode' and told_at is not null order by n")
    return [mode for (mode,) in changes], [text.split()[1].rstrip(":") for (text,) in notices]


async def rows(at: House, statement: str) -> list[Any]:
    async with aiosqlite.connect(f"{at.home.ledger.as_uri()}?mode=ro", uri=True) as db:
        return list(await db.execute_fetchall(statement))


async def test_without_a_backup_key_tasks_wait_and_are_told_which_variable_helps(tmp_path: Path):
    async with stage(tmp_path, key=None) as on:
        await on.proxy.shut()
        held = await on.waiting(await on.submit())
        await on.in_mode("degraded")
        held = await on.waiting(await on.submit())
        assert "GITHUB_LITELLM_KEY" in held["text"]
        await on.proxy.open()
        await on.completed(held["task_id"])
        assert await faults(on.at) == 0


async def test_a_wrong_backup_key_is_no_outage_and_is_told(tmp_path: Path):
    async with stage(tmp_path) as on:
        on.provider.status = 401
        on.provider.cloud.fail("401")
        await on.proxy.shut()
        await on.submit()
        seen = await on.in_mode("degraded")
        held = await on.waiting(await on.submit())
        assert "every backup key is refused (anthropic: answers, and refuses" in held["text"]
        assert "refuses our key" in seen["evidence"]["anthropic"]
        await on.proxy.open()
        await on.completed(held["task_id"])


async def test_an_outage_that_looks_like_a_rate_limit_is_one(tmp_path: Path):
    async with stage(tmp_path) as on:
        on.proxy.cloud.fail("503")
        ids = [await on.submit() for _ in range(4)]
        seen = await on.in_mode("degraded")
        assert "503" in seen["cause"]
        assert "direct" in {task["endpoint"] for task in await on.completed(*ids, await on.submit())}
        assert set(on.provider.models) == {"direct-usual"}
        on.proxy.cloud.fail("ok")
        await on.completed(*[await on.submit() for _ in range(3)])
        with anyio.fail_after(LIMIT):
            while (await on.mode())["mode"] != "normal":
                await on.completed(await on.submit())


async def test_another_program_on_the_port_of_the_proxy_is_no_litellm(tmp_path: Path):
    async with stage(tmp_path) as on:
        on.proxy.says = "welcome to nginx"
        await on.submit()
        seen = await on.in_mode("degraded")
        assert "not LiteLLM" in seen["cause"]
        assert on.proxy.probes.count("/health/liveliness") >= QUICK["consecutive_failures"]


async def test_the_interval_of_the_settings_is_kept_and_no_probe_makes_a_model_call(tmp_path: Path):
    async with stage(tmp_path) as on:
        await on.completed(await on.submit())
        await until(lambda: len(on.proxy.probes) >= 12)  # at the plan's 30 s these were six minutes
        assert "/v1/models" in on.proxy.probes
        assert not on.provider.probes
        assert len(on.proxy.cloud.requests) == 1


async def test_an_engine_that_is_killed_in_an_outage_is_followed_by_one_that_goes_on_and_each_change_is_told_once(
    tmp_path: Path,
):
    async with (
        receiver() as good,
        receiver(answers=[500]) as shaky,
        receiver(answers=[HANGS]) as slow,
        stage(tmp_path, webhooks=(good, shaky, slow)) as on,
    ):
        await on.completed(await on.submit())
        await on.proxy.shut()
        await on.provider.shut()
        held = await on.submit()
        await on.in_mode("brainstem")
        await on.waiting(held)
        await until(lambda: slow.got)  # it holds back its answer: the engine is killed before it could note one
        for _ in range(2):
            pid = await on.at.engine_pid()
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: background.view(on.at.home).pid not in (None, pid))
        seen = await on.mode()
        assert (seen["mode"], seen["held"]) == ("brainstem", {"cloud": 1})
        await on.provider.open()
        await on.proxy.open()
        await on.completed(held)
        await on.in_mode("normal")
        changes, notices = await told(on.at)
        assert changes == notices
        assert changes.count("brainstem") == 1
        assert await faults(on.at) == 0
        for each in (good, shaky, slow):
            await until(lambda each=each: len(each.messages) >= len(changes))
            assert [message["mode"] for message in each.messages] == changes
        assert shaky.got[0].id == shaky.got[1].id
        assert slow.got[0].id == slow.got[1].id
        names = [name for name in (await on.mode())["told_by"] if name.startswith("webhook 127.0.0.1 (")]
        assert len(names) == 3
        code, text = await on.at.cli("notify", "--test")
        assert (code, text.count("took a test notice")) == (0, 3)
        assert [each.got[-1].said["type"] for each in (good, shaky, slow)] == ["test"] * 3
        assert SECRET[6:] not in on.at.home.engine_log.read_text() + text
        assert "/hook/" not in on.at.home.engine_log.read_text() + text


async def test_a_mode_is_set_by_hand_for_a_time_and_let_go(tmp_path: Path):
    async with stage(tmp_path) as on:
        seen = await call(on.client, "system_mode", set="brainstem", for_minutes=5)
        assert (seen["mode"], seen["override"]["mode"]) == ("brainstem", "brainstem")
        assert "by hand" in seen["cause"]
        held = await on.waiting(await on.submit())
        assert "set by hand" in held["text"]
        assert (await refused(on.client, "system_mode", for_minutes=5))["code"] == "bad_request"
        assert (await refused(on.client, "system_mode", set="sideways"))["code"] == "bad_request"
        code, text = await on.at.cli("mode", "--set", "degraded", "--for", "30")
        assert (code, "mode degraded" in text) == (0, True)
        (done,) = await on.completed(held["task_id"])
        assert done["endpoint"] == "direct"
        code, text = await on.at.cli("mode", "--set", "auto")
        assert (code, "mode normal" in text) == (0, True)
        assert (await on.at.cli("mode", "--for", "3"))[0] == 1


async def test_who_watches_sees_the_mode_and_the_resource_shows_it(tmp_path: Path):
    async with stage(tmp_path) as on:
        await call(on.client, "system_mode", set="brainstem", for_minutes=5)
        held = await on.submit()
        await on.waiting(held)
        (shown,) = await on.client.read_resource("omni://mode")
        assert json.loads(getattr(shown, "text", ""))["mode"] == "brainstem"
        lines: list[str] = []
        argv = command("watch", held)
        async with await anyio.open_process(argv, env=on.at.env) as watching:
            assert watching.stderr is not None
            with anyio.fail_after(LIMIT):
                async for chunk in watching.stderr:
                    lines.append(chunk.decode())
                    if "mode brainstem" in "".join(lines):
                        break
                await call(on.client, "system_mode", set="auto")
                lines += [chunk.decode() async for chunk in watching.stderr]
        assert "mode normal" in "".join(lines)
        assert "completed" in "".join(lines)
