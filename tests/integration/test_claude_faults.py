"""How Claude Code fails, through our own tools: the real binary against a stub cloud with a fault in each step.

Each row says what goes wrong and what a person then reads: the state, what it waits for, the words with the next step.
All of them run side by side on one engine. `relay`: the fault is behind our relay. `own`: Claude Code has a login of
its own, and the fault is at its endpoint. `fake`: a binary that ends as the real one cannot be made to end.
"""

import json
import shlex
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from omni_mcp.demo.cloud import Cloud, running_cloud
from tests.integration.house import STUBS, House, call, ended, free_port, house, until
from tests.integration.house import refused as refused_call
from tests.integration.outages import Place, place
from tests.integration.test_claude_code import BINARY, script, shell

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]

LIMIT = 200.0
"""Seconds that all rows together may take."""
TEXT = "said in the end, " * 8
"""Of many pieces: a stream that breaks after its fifth event does so in the middle of them.

Claude Code then asks again, in the end without a stream, and that is answered.
"""
SHORT = "said in the end"
"""Its fifth event is the end of its words: a stream that breaks there leaves them whole, but not the answer.

Claude Code then asks again, and in the end gives up. Only behind the relay, which passes all on before it says what
broke; an endpoint that resets the connection may take the last words back, and then they were cut in the middle.
"""
SILENT = 10
"""Seconds without a word after which a model call is given up here."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, and what is to be read of it."""

    fault: str
    via: str
    state: str
    """`completed`, `failed`, or what it waits for."""
    words: tuple[str, ...]
    """All of them are in its text, or in its result."""
    retry_after: float | None = None
    text: str = TEXT
    """What the model was about to say."""
    alone: bool = False
    """It marks its executor as unusable, so it has one of its own."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        return f"{self.via}_{self.fault}" if self.alone else self.via

    @property
    def id(self) -> str:
        return f"{self.via} {self.fault} {'short' if self.text is SHORT else self.retry_after or ''}"


def cloud(fault: str, *words: str, via: str) -> Row:
    return Row(fault=fault, via=via, state="cloud", words=words)


def refused(fault: str, *words: str, via: str) -> Row:
    return Row(fault=fault, via=via, state="executor", words=words, alone=True)


BOTH = ("relay", "own")
RELAY_AUTH, OWN_AUTH = "check the keys under `models`", "/login"
ONCE = {"max_attempts": 1}

ENDPOINT = (
    *(cloud(status, f"the stub cloud says {status}", via=via) for status in ("500", "503", "529") for via in BOTH),
    *(Row(fault="400", via=via, state="failed", words=("the stub cloud says 400",)) for via in BOTH),
    *(refused(status, status, RELAY_AUTH, via="relay") for status in ("401", "402", "403")),
    *(refused(status, status, OWN_AUTH, via="own") for status in ("401", "402", "403")),
    *(refused("404", "mend the model name", via=via) for via in BOTH),
    *(Row(fault="429", via=via, state="reset", words=("429",)) for via in BOTH),
    *(Row(fault="429", via=via, state="reset", words=("429",), retry_after=40) for via in BOTH),
    Row(fault="429", via="relay", state="reset", words=("429",), retry_after=7200),
    cloud("drop", "broke off", via="relay"),
    cloud("drop", "Connection", via="own"),
    cloud("hang", "gave no answer in time", via="relay"),
    cloud("hang", "said nothing for 10 s", "limits.silent_seconds", via="own"),
    cloud("stall", "stopped coming in the middle", via="relay"),
    cloud("stall", "said nothing for 10 s", "limits.silent_seconds", via="own"),
    *(Row(fault="cut", via=via, state="completed", words=(TEXT.strip(),)) for via in BOTH),
    Row(fault="cut", via="relay", state="cloud", words=("mid-response",), text=SHORT),
    cloud("garbage", "502", via="relay"),
    cloud("garbage", "empty or malformed response", via="own"),
    cloud("empty", "as no model API does: nothing", via="relay"),
    cloud("empty", "empty or malformed response", via="own"),
)

BROKEN = (
    Row(fault="too_old", via="fake", state="executor", words=("too old", "npm install -g"), alone=True),
    Row(fault="in_use", via="fake", state="completed", words=("went on",)),
    Row(fault="not_utf8", via="fake", state="completed", words=("all the same",)),
    Row(fault="without_result", via="fake", state="failed", words=("without a result", "exit code 0"), options=ONCE),
    Row(fault="empty_result", via="fake", state="consent", words=("brought no result",)),
    Row(fault="storm", via="fake", state="cloud", words=("529",)),
)

ALL = (*ENDPOINT, *BROKEN)


def executors(proxy: Place, direct: Cloud, fake: Path) -> dict[str, Any]:
    """Return the rows of servers.yaml: one for each way, and one for each fault that marks its executor."""
    own_login = {"ANTHROPIC_BASE_URL": direct.url, "ANTHROPIC_API_KEY": "own-key"}
    ways: dict[str, dict[str, Any]] = {
        "relay": {"command": BINARY, "login": "relay"},
        "own": {"command": BINARY, "login": "own", "env": own_login},
        "fake": {"command": str(fake), "login": "own", "approvals": "none"},  # it reads its prompt to the end
    }
    names = {row.name: row.via for row in ALL}
    rows = {name: {**ways[via], "preset": "claude-code", "parallel": 3} for name, via in names.items()}
    gone = {**own_login, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    all_of_them: dict[str, Any] = {
        **rows,
        "own_refused": {**rows["own"], "env": gone},
        "own_logged_out": {**rows["own"], "env": {}},
        "denying": {**rows["relay"], "approvals": "none"},
        "own_rooted": {**rows["own"], "roots": [str(fake.parent / "elsewhere")]},
        "missing": {**rows["own"], "command": "/nowhere/claude"},
    }
    return json.loads(json.dumps(all_of_them))  # YAML would write what is shared as an alias


@dataclass
class Scene:
    """A home with all these executors, and a client of it."""

    at: House
    client: Client[Any]
    proxy: Place
    folder: Path

    async def submit(self, executor: str, description: str, **more: Any) -> str:
        given = {"cwd": str(self.folder), **more}
        return (await call(self.client, "submit_task", description=description, executor=executor, **given))["task_id"]

    async def watched(self, task_id: str, begun: Path) -> None:
        """Wait until a command has begun, and the engine has told of its task that the executor is silent."""

        async def is_watched() -> bool:
            status = await call(self.client, "task_status", task_id=task_id, since_seq=0)
            return begun.exists() and "watchdog" in [event["kind"] for event in status["events"]]

        await until(is_watched, limit=LIMIT)

    async def end(self, task_id: str) -> dict[str, Any]:
        """Return where a task came to; its result and notes, too, when it is completed."""
        status = await ended(self.client, task_id, limit=LIMIT)
        while status.get("waiting_for") == "retry":
            status = await ended(self.client, task_id, limit=LIMIT)
        result = await call(self.client, "task_result", task_id=task_id) if status["state"] == "completed" else {}
        return {**status, **{key: value for key, value in result.items() if key in ("text", "notes")}}


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncGenerator[Scene]:
    fake = tmp_path / "claude"
    fake.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STUBS / "fake_claude.py")])} "$@"\n')
    fake.chmod(0o755)
    (folder := tmp_path / "repo").mkdir()
    async with house(tmp_path) as at, place() as proxy, running_cloud() as direct:
        at.configure(
            executors=executors(proxy, direct, fake),
            models={"gateway": {"base_url": proxy.url, "api_key": "sk-master", "for": {"default": "auto"}}},
            # Here no outage changes the mode, or one row would hold up the others.
            fault_handler={"consecutive_failures": 100, "check_interval": 86_400},
            limits={"silent_seconds": SILENT},
        )
        async with at.client() as client:
            yield Scene(at, client, proxy, folder)


def asked(row: Row) -> str:
    if row.via == "fake":
        return f"end as {row.fault}"
    return script({"text": row.text, "fault": row.fault, "retry_after": row.retry_after}, {"text": "never said"})


FEW = ("relay 503 ", "relay 401 ", "own 429 40", "own cut ", "fake too_old ", "fake empty_result ")
"""The ids of one row of each kind of end, for every day."""


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([row for row in ALL if row.id in FEW], id="few"),
        pytest.param(ALL, id="all", marks=pytest.mark.slow),
    ],
)
async def test_each_fault_is_seen_within_our_limit_and_told_with_its_next_step(
    rows: Sequence[Row], tmp_path: Path
) -> None:
    async with scene(tmp_path) as on:
        tasks = {row.id: await on.submit(row.name, asked(row), options=dict(row.options)) for row in rows}
        ends = {row.id: await on.end(task) for row, task in zip(rows, tasks.values(), strict=True)}
    assert len(ends) == len(rows) >= len(FEW)
    assert [f"{row.id}: {ends[row.id]}" for row in rows if not is_as_told(row, ends[row.id])] == []
    resets = {row.id: until_reset(ends[row.id]) for row in rows if row.state == "reset"}
    assert [row for row, seconds in resets.items() if (seconds < 55) is not row.endswith(" 40")] == [], resets
    assert all(7000 < seconds <= 7200 for row, seconds in resets.items() if row.endswith(" 7200")), resets


def is_as_told(row: Row, end: Mapping[str, Any]) -> bool:
    """Whether a task stands where its row says, in these words, and says whose login was used."""
    login = "litellm-proxy" if row.via == "relay" else "the executor's own login"
    stands = row.state in (end["state"], end.get("waiting_for"))
    return stands and all(word in end["text"] for word in row.words) and end["endpoint"] == login and end["next_step"]


def until_reset(end: Mapping[str, Any]) -> float:
    """Return how long a task waits, in seconds."""
    return (datetime.fromisoformat(end["due_at"]) - datetime.fromisoformat(end["since"])).total_seconds()


def ending(signal: str) -> dict[str, Any]:
    """Return a step that ends the agent itself, once."""
    return shell(f"[ -e {signal} ] || {{ touch {signal}; kill -{signal} $CLAUDE_PID; sleep 60; }}")


DONE = {"text": "done"}
MEGABYTE = 1 << 20


@pytest.mark.slow
async def test_what_else_goes_wrong_is_told_and_a_quiet_command_is_left_alone(tmp_path: Path) -> None:
    begun, word, outside = (tmp_path / name for name in ("begun", "word", "outside.txt"))
    work = what_else(begun, word, outside)
    async with scene(tmp_path) as on:
        gone = await refused_call(on.client, "submit_task", description="x", cwd=str(tmp_path / "nowhere"))
        tasks = {name: await on.submit(row[0], row[1]) for name, row in work.items()}
        await on.watched(tasks["quiet"], begun)
        word.touch()
        ends = {name: await on.end(task) for name, task in tasks.items()}
        await on.proxy.shut()
        unreached = await on.end(await on.submit("relay", script(DONE)))
    for name, (_, _, state, words) in work.items():
        assert state in (ends[name]["state"], ends[name].get("waiting_for")), (name, ends[name])
        assert words in ends[name]["text"], (name, ends[name])
    assert "call submit_task with an existing one" in gone["next_step"]
    assert ends["denied"]["notes"]["permission_denials"] == [f"Write: {outside}"]
    assert {name: ends[name]["attempt"] for name in ("quiet", "killed", "interrupted")} == {
        "quiet": 1,
        "killed": 2,
        "interrupted": 2,
    }
    assert unreached["waiting_for"] == "cloud"
    assert "start the proxy, or correct models.gateway.base_url" in unreached["text"]


def what_else(begun: Path, word: Path, outside: Path) -> Mapping[str, tuple[str, str, str, str]]:
    """Return executor, description, state and words by name."""
    quiet = shell(f"touch {begun}; while [ ! -e {word} ]; do sleep 0.1; done")
    write = {"tool": "Write", "input": {"file_path": str(outside), "content": "x"}}
    long = script(DONE)
    return {
        "quiet": ("own", script(quiet, DONE), "completed", "done"),
        "refused": ("own_refused", script(DONE), "cloud", "ECONNREFUSED"),
        "logged out": ("own_logged_out", script(DONE), "executor", "type /login"),
        "missing": ("missing", script(DONE), "executor", "Install it: npm install -g"),
        "outside": ("own_rooted", script(DONE), "failed", "use a folder below"),
        "denied": ("denying", script(write, DONE), "completed", "done"),
        "1 MB": ("relay", "x" * (MEGABYTE - len(long)) + long, "completed", "done"),
        "killed": ("relay", script(ending("KILL"), DONE), "completed", "done"),
        "interrupted": ("own", script(ending("INT"), DONE), "completed", "done"),
    }
