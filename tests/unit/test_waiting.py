"""A call that waits: its client's user is asked what the executor asks, in both eras, and hears how it goes."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from mcp import MCPError
from mcp.server.request_state import RequestStateSecurity
from mcp.types import ElicitResult as Elicited
from mcp.types import InputRequiredResult

from omni_mcp.faces import waiting
from omni_mcp.faces.elicit import requested_schema
from omni_mcp.faces.mcp import create_face
from omni_mcp.faces.state import kept_state
from omni_mcp.home import Home
from omni_mcp.service.service import Service
from omni_mcp.task import LOCAL, Completed, Task, TaskState
from tests.integration.house import LIMIT, until
from tests.unit.test_questions import MAY_I, WHICH, A, asked
from tests.unit.test_service import Place, place

ERAS = pytest.mark.parametrize("mode", ["legacy", "auto"])


@dataclass
class User:
    """Who is asked through a client."""

    says: Elicited | None = field(default_factory=lambda: Elicited(action="accept", content={"which": "A"}))
    """None: thinks for ever."""
    asked: list[str] = field(default_factory=list[str])
    at: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, message: str, *_: Any) -> ElicitResult[Any]:
        """Answer."""
        self.asked.append(message)
        self.at.set()
        if self.says is None:
            try:
                await anyio.sleep_forever()
            finally:
                self.left.set()
        assert self.says is not None
        return ElicitResult(action=self.says.action, content=self.says.content)


def face_of(service: Service, state: RequestStateSecurity | None = None) -> Any:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Service]:
        yield service

    return create_face(opened, state=state)


async def the_task(here: Place, when: Callable[[Task], bool] = lambda task: not task.terminal) -> Task:
    """Wait until the one task is there, and so."""
    with anyio.fail_after(LIMIT):
        while True:
            seen = await here.ledger.watermark()
            page = await here.ledger.page(principal=LOCAL)
            if page.tasks and when(page.tasks[0]):
                (task,) = page.tasks
                return task
            await here.ledger.changed(seen, timeout=timedelta(seconds=1))


def at_work(task: Task) -> bool:
    return task.state is TaskState.EXECUTING


@dataclass
class Calling:
    """A submit_task that waits, and what it answered."""

    here: Place
    task_id: str = ""
    answer: dict[str, Any] = field(default_factory=dict[str, Any])

    async def submit(self, client: Client[Any], wait_seconds: float = 40) -> None:
        told = await client.call_tool_mcp("submit_task", {"description": "x", "wait_seconds": wait_seconds})
        self.answer = told.structured_content or {}

    async def asks(self, **question: Any) -> None:
        """Have its run ask."""
        self.task_id = await self.here.executing((await the_task(self.here)).id)
        await asked(self.here, self.task_id, **question)

    async def completes(self) -> None:
        """Have it complete when it is at work again."""
        await the_task(self.here, at_work)
        await self.here.ledger.finish(
            self.task_id, attempt=1, owner="me", state=TaskState.COMPLETED, outcome=Completed(text="done")
        )


@asynccontextmanager
async def calling(tmp_path: Path, user: User | None, mode: str, wait_seconds: float = 40) -> AsyncGenerator[Calling]:
    """Have a client call, and its run ask; leaves when the call has its answer."""
    async with place(tmp_path) as here:
        made = Calling(here)
        async with Client(face_of(here.service), mode=mode, elicitation_handler=user) as client:
            with anyio.fail_after(LIMIT * 2):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(made.submit, client, wait_seconds)
                    yield made


@ERAS
async def test_a_question_is_put_to_the_user_and_the_call_goes_on_to_the_end(tmp_path: Path, mode: str) -> None:
    async with calling(tmp_path, user := User(), mode) as made:
        await made.asks()
        await made.completes()
    assert (user.asked, made.answer["state"], made.answer["summary"]) == ([WHICH.text], "completed", "done")


@ERAS
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_who_does_not_answer_leaves_the_question_open(tmp_path: Path, mode: str, action: Any) -> None:
    async with calling(tmp_path, user := User(says=Elicited(action=action)), mode) as made:
        await made.asks()
    assert (user.asked, made.answer["waiting_for"]) == ([WHICH.text], "input")
    assert [question["question_id"] for question in made.answer["questions"]] == ["q1"]


@ERAS
async def test_a_permission_is_not_asked_through_a_client_and_neither_is_one_that_has_no_forms(
    tmp_path: Path, mode: str
) -> None:
    async with calling(tmp_path / "people", user := User(), mode) as made:
        await made.asks(what=MAY_I, for_people=True)
    assert (user.asked, made.answer["questions"][0]["for_people"]) == ([], True)
    async with calling(tmp_path / "none", None, mode) as made:
        await made.asks()
    assert made.answer["waiting_for"] == "input"


async def test_an_answer_from_elsewhere_takes_the_question_back_from_the_user(tmp_path: Path) -> None:
    async with calling(tmp_path, user := User(says=None), "legacy") as made:
        await made.asks()
        await user.at.wait()
        await made.here.service.answer(made.task_id, "q1", A, person=True)
        await made.completes()
        await user.left.wait()
    assert made.answer["state"] == "completed"


async def test_a_user_who_thinks_longer_than_the_call_waits_leaves_the_question_open(tmp_path: Path) -> None:
    async with calling(tmp_path, user := User(says=None), "legacy", wait_seconds=3) as made:
        await made.asks()
        await user.left.wait()
    assert made.answer["waiting_for"] == "input"


async def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays(tmp_path: Path) -> None:
    async with calling(tmp_path, User(says=Elicited(action="accept", content={"which": "C"})), "auto") as made:
        await made.asks()
    assert (made.answer["code"], "which is none of" in made.answer["message"]) == ("bad_request", True)


@ERAS
async def test_a_caller_that_wants_progress_hears_how_it_goes(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "HEARTBEAT", 0.01)
    heard: list[str | None] = []

    async def hear(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message)

    async with place(tmp_path) as here:
        made = Calling(here)
        async with Client(face_of(here.service), mode=mode, progress_handler=hear) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(made.submit, client)
                made.task_id = await here.executing((await the_task(here)).id)
                keep: dict[str, Any] = {"attempt": 1, "owner": "me", "snapshot": None}
                await here.ledger.checkpoint(made.task_id, progress="half of it", **keep)
                await until(lambda: "half of it" in heard)
                await made.completes()
    assert made.answer["state"] == "completed"


async def test_what_was_asked_before_a_restart_is_answered_after_it(tmp_path: Path) -> None:
    arguments = {"description": "x", "wait_seconds": 40}
    async with place(tmp_path) as here:
        before_it, after_it = [await run_sync(kept_state, here.service.settings().home) for _ in range(2)]
        call = partial(_call, "submit_task", arguments)
        made, rounds = Calling(here), list[Any]()
        async with Client(face_of(here.service, before_it), elicitation_handler=User()) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call, client, rounds)
                await made.asks()
        before = rounds[0]
        assert isinstance(before, InputRequiredResult)
        assert list(before.input_requests or {}) == ["q1"]
        said = {"input_responses": {"q1": Elicited(action="accept", content={"which": "A"})}}
        async with Client(face_of(here.service, after_it), elicitation_handler=User()) as client:
            with pytest.raises(MCPError, match="Invalid or expired"):
                await call(client, [], **said, request_state="v1.forged")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(call, client, rounds, **said, request_state=before.request_state))
                await made.completes()
        assert rounds[1].structured_content["task_id"] == made.task_id
        assert len((await here.ledger.page(principal=LOCAL)).tasks) == 1


async def _call(tool: str, arguments: dict[str, Any], client: Client[Any], rounds: list[Any], **more: Any) -> None:
    rounds.append(await client.session.call_tool(tool, arguments, allow_input_required=True, **more))


def test_the_key_of_a_home_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert kept_state(home) is not None
    key = home.state_key.read_bytes()
    assert len(key) == 32
    assert os.name != "posix" or home.state_key.stat().st_mode & 0o077 == 0
    assert kept_state(home) is not None
    assert home.state_key.read_bytes() == key
    assert [path.name for path in home.root.iterdir()] == [home.state_key.name]
    home.state_key.write_bytes(b"cut")
    assert kept_state(home) is None
    assert kept_state(Home(home.state_key)) is None


def test_a_form_is_asked_only_if_the_protocol_has_such_fields() -> None:
    plain = {"n": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"enum": ["a"]}}}
    assert requested_schema(None) == {"type": "object", "properties": {}}
    assert requested_schema({"properties": plain, "required": ["n", "gone"], "$schema": "x"}) == {
        "type": "object",
        "properties": plain,
        "required": ["n"],
    }
    assert requested_schema({"properties": {"n": {"enum": ["a"], "format": "odd", "x-ours": 1}}}) == {
        "type": "object",
        "properties": {"n": {"type": "string", "enum": ["a"]}},
    }
    for odd in ({"type": "object"}, {}, {"type": "array", "items": {"type": "string"}}):
        assert requested_schema({"properties": {"n": odd}}) is None
