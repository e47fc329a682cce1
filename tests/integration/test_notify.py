"""Notices of a real engine: of a crash loop, to one who wants no more or is configured meanwhile, through OpenClaw."""

import json
from pathlib import Path

from anyio.to_thread import run_sync

from tests.integration.fake_openclaw import fake_openclaw
from tests.integration.house import LIMIT, call, house, until
from tests.receiver import SECRET, receiver


async def test_an_engine_tells_of_those_that_died_before_it_and_whoever_is_configured_while_it_runs(tmp_path: Path):
    async with receiver() as good, receiver(answers=[410]) as gone, house(tmp_path) as here:
        hooks = [{"url": each.url, "secret": SECRET} for each in (good, gone)]
        echo = here.workshop(recovery="retry")
        here.configure(executors={"echo": echo}, notify={"webhooks": hooks})
        here.home.engine_crashes.write_text(json.dumps({"count": 3, "at": "2026-01-01T00:00:00+00:00"}))
        async with here.client() as client:
            await call(client, "submit_task", description="hello", type="echo")
            await until(lambda: good.got and gone.got)
            assert good.got[0].said["type"] == "engine.crashes"
            assert "died 3 times in a row right after its start" in good.messages[0]["text"]

            async def standing() -> list[str]:
                return list((await call(client, "system_mode"))["told_by"].values())

            async def is_gone() -> bool:
                return any("HTTP 410" in said for said in await standing())

            await until(is_gone)
            assert any(said.startswith("told ") for said in await standing())
            async with receiver() as later:
                here.configure(executors={"echo": echo}, notify={"webhooks": [{"url": later.url, "secret": SECRET}]})
                await until(lambda: "settings taken up" in here.home.engine_log.read_text())
                await call(client, "system_mode", set="brainstem", for_minutes=5)
                await until(lambda: later.got)
                assert [later.got[0].said["type"], later.messages[0]["mode"]] == ["mode.changed", "brainstem"]
        here.configure(executors={"echo": echo}, notify={"webhooks": hooks})
        _, said = await here.cli("doctor", "--json")
        (late,) = [each for each in json.loads(said)["findings"] if each["code"] == "notify-late"]
        assert late["text"] == "did not take the last 1 notices: HTTP 410: the receiver wants no more"
        assert late["fix"].endswith(f"notify --test --home {here.home.root}")
        assert len(good.got) == len(gone.got) == 1


async def test_a_gateway_that_was_away_is_told_once_and_asks_no_model(tmp_path: Path) -> None:
    with fake_openclaw(tmp_path / "gateway") as gateway:
        async with house(tmp_path) as here:
            row = {"url": gateway.url, "token": gateway.token, "channel": "telegram", "to": "me"}
            here.configure(executors={"echo": here.workshop()}, notify={"desktop": False, "openclaw": [row]})
            await run_sync(gateway.stop)
            code, said = await here.cli("notify", "--test")
            assert code == 1
            assert "cannot be reached" in said
            async with here.client() as client:
                await call(client, "submit_task", description="hello", type="echo", wait_seconds=20)
                await call(client, "system_mode", set="brainstem", for_minutes=5)

                async def standing() -> str:
                    told_by = (await call(client, "system_mode"))["told_by"]
                    return next(text for name, text in told_by.items() if name.startswith("openclaw telegram"))

                async def stands(words: str) -> bool:
                    return words in await standing()

                await until(lambda: stands("tries failed"))
                await run_sync(gateway.start)
                await until(lambda: stands("told "), limit=LIMIT * 2)
        [sent] = gateway.sent
        assert (sent["channel"], sent["to"]) == ("telegram", "me")
        assert "brainstem" in sent["message"]
        assert gateway.cloud.calls == []


async def test_what_a_gateway_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    with fake_openclaw(tmp_path / "gateway") as gateway:
        async with house(tmp_path) as here:
            rows = [
                {"url": gateway.url, "token": token, "channel": channel, "to": "me"}
                for token, channel in ((gateway.token, "telegram"), ("wrong", "slack"))
            ]
            here.configure(notify={"desktop": False, "openclaw": rows})
            code, said = await here.cli("notify", "--test", "--json")
        taken, refused = json.loads(said)["tested"]
        assert (code, taken["told"], refused["told"]) == (1, True, False)
        assert "TOKEN_MISMATCH" in refused["text"]
        assert len(gateway.sent) == 1
