"""Schedules end to end: real engines that are killed, Moltworker behind its edge, the service as it is installed."""

import json
import os
import plistlib
import shlex
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

from omni_mcp import autostart, background
from tests.integration.fake_openclaw import fake_openclaw, moltworker_edge
from tests.integration.house import LIMIT, House, call, ended, house, listed, until

pytestmark = pytest.mark.timeout(240)
THREE_DAYS = 3 * 86_400 * 1_000_000
HEADERS = {"CF-Access-Client-Id": "svc.access", "CF-Access-Client-Secret": "s3cret"}


def a_row(**more: Any) -> dict[str, Any]:
    return {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "task": {"description": "look", "type": "echo"}, **more}


def read(said: str) -> Any:
    """Return the JSON of an answer; what a busy machine adds to stderr stands behind it."""
    return json.JSONDecoder().raw_decode(said)[0]


async def shown(here: House) -> dict[str, Any]:
    """Return the one schedule as `schedule list` shows it."""
    code, said = await here.cli("schedule", "list", "--json")
    assert code == 0, said
    [row] = read(said)["schedules"]
    return row


def three_days_ago(here: House) -> None:
    """Have the schedule look as one whose engine was gone for three days."""
    with closing(sqlite3.connect(here.home.ledger, timeout=LIMIT)) as db:
        db.execute("update schedules set paused_at = null, seen_until = seen_until - ?", [THREE_DAYS])
        db.commit()


async def test_an_engine_that_was_gone_for_three_days_makes_up_one_run_over_a_kill_and_stays(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(
            executors={"bench": here.workshop(recovery="retry")},
            schedules={"nightly": a_row()},
            limits={"engine_idle_seconds": 0.1},
        )
        code, said = await here.cli("schedule", "pause", "nightly", "--json")
        assert (code, read(said)["state"]) == (0, "paused")
        assert not background.view(here.home).running
        three_days_ago(here)
        code, said = await here.cli("schedule", "list")
        assert (code, "no engine runs" in said) == (0, True)
        async with here.client() as client:  # a face starts an engine for the schedule alone
            tasks = await until(lambda: listed(client), limit=LIMIT * 3)
            pid = await here.engine_pid()
            os.kill(pid, signal.SIGKILL)
            assert tasks[0]["source"] == "schedule:nightly"
            assert (await ended(client, tasks[0]["task_id"], limit=LIMIT * 3))["state"] == "completed"
            assert await here.engine_pid() != pid
            assert len((await call(client, "list_tasks"))["tasks"]) == 1
            row = await shown(here)
            assert "3 due times were missed" in row["said"] or "4 due times were missed" in row["said"]
            assert (row["task_state"], row["state"]) == ("completed", "on")
            assert (await here.cli("schedule", "pause", "nightly"))[0] == 0
            await until(lambda: not background.view(here.home).running)  # and now it is idle


async def test_a_schedule_of_ours_wakes_a_moltworker_behind_its_edge(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        with fake_openclaw(tmp_path / "worker", protocol=3) as worker, moltworker_edge(worker, cold=1) as url:
            here.home.dotenv.write_text(f"MOLTBOT_GATEWAY_TOKEN={worker.token}\n")
            edge = {"preset": "moltworker", "url": url, "token": "${MOLTBOT_GATEWAY_TOKEN}", "headers": HEADERS}
            task = {"description": "Look after the harbour", "executor": "moltworker"}
            here.configure(
                executors={"moltworker": {**edge, "handles": ["always_on"]}}, schedules={"harbour": a_row(task=task)}
            )
            async with here.client() as client:
                code, said = await here.cli("schedule", "run", "harbour", "--json")
                assert code == 0, said
                done = await ended(client, read(said)["task_id"], limit=LIMIT * 2)
            assert (done["state"], done["served_by"], done["source"]) == ("completed", "moltworker", "schedule:harbour")
            assert len(worker.cloud.calls) == 1
            row = await shown(here)
            assert (row["task_state"], row.get("last_due")) == ("completed", None)


def stand_in(folder: Path, name: str) -> Path:
    """Write a program that notes how it was called."""
    folder.mkdir()
    (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(folder / "calls"))}\n')
    (folder / name).chmod(0o755)
    return folder


@asynccontextmanager
async def started(argv: Sequence[str], env: Mapping[str, str], here: House) -> AsyncGenerator[Process]:
    """Run a command that is to hold the engine lock until the body ends; then it is killed."""
    with (here.home.root / "service.log").open("a") as log:
        async with await anyio.open_process(argv, env=env, cwd="/", stdout=log, stderr=log) as process:
            try:
                await until(lambda: background.view(here.home).pid, limit=LIMIT * 3)
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="systemd")
async def test_the_service_keeps_an_engine_with_the_little_that_a_service_has_and_goes_without_a_trace(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()}, limits={"engine_idle_seconds": 0.1})
        bin_ = stand_in(tmp_path / "bin", "systemctl")
        path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
        folder = here.home.root / ".config/systemd/user"
        folder.mkdir(parents=True)
        before = sorted(folder.iterdir())
        assert (await here.cli("service", "install", "--dry-run", path=path))[0] == 0
        code, said = await here.cli("service", "install", "--yes", path=path)
        assert (code, "loginctl enable-linger" in said) == (0, True), said
        [unit] = folder.iterdir()
        lines = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
        env = {"HOME": str(here.home.root), "PATH": shlex.split(lines["Environment"])[0].removeprefix("PATH=")}
        async with started(shlex.split(lines["ExecStart"]), env, here) as service:
            assert background.view(here.home).pid == service.pid
            code, said = await here.cli("submit", "hello", "--type", "echo", "--wait", "--json")
            assert code == 0, said
            assert service.returncode is None
            service.send_signal(signal.SIGTERM)
            with anyio.fail_after(LIMIT * 3):
                assert await service.wait() == 0
        assert (await here.cli("service", "status", path=path))[0] == 0
        assert (await here.cli("service", "uninstall", "--yes", path=path))[0] == 0
        assert sorted(folder.iterdir()) == before
        calls = (bin_ / "calls").read_text().split("\n")
        assert [line.split()[1] for line in calls if line and "is-active" not in line] == [
            *("daemon-reload", "enable", "restart", "disable", "daemon-reload"),
        ]
        unit.write_text("[Service]\nExecStart=/bin/true\n")
        code, said = await here.cli("service", "install", "--yes", path=path)
        assert (code, "is not ours" in said) == (1, True)
        assert (await here.cli("service", "install", "--yes", "--force", path=path))[0] == 0
        assert (await here.cli("service", "uninstall", "--yes", path=path))[0] == 0
        assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"
        code, said = await here.cli("service", "install", "--yes", path=str(tmp_path))
        assert (code, "neither systemd nor launchd" in said, "engine run --stay" in said) == (1, True, True)


def test_a_launchd_agent_starts_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart.sys, "platform", "darwin")
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin', 'launchctl')}{os.pathsep}{os.environ['PATH']}")
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin", "OMNI_HOME": "/home/me & you"}
    keeper = autostart.keeper_for(autostart.Home(Path("/home/me & you")), serve=["--port", "8765"], environ=environ)
    step = autostart.installing(keeper)
    assert "launchctl bootstrap" in step.shown
    step.carry_out()
    agent = plistlib.loads(keeper.path.read_bytes())
    assert agent["ProgramArguments"][1:] == ["--home", "/home/me & you", "serve", "--port", "8765"]
    assert agent["KeepAlive"]
    assert keeper.path.parent == tmp_path / "Library/LaunchAgents"
    autostart.uninstalling(keeper).carry_out()
    assert not list(keeper.path.parent.iterdir())
