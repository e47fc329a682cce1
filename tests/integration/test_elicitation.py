"""What a server asks in the middle of a call reaches whoever called, in both eras of MCP."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp.types import CallToolResult

from omni_mcp.executors.elicitation import Caller
from omni_mcp.executors.session import Session
from omni_mcp.question import Action, Answer, Asked, QuestionKind
from omni_mcp.servers_file.executors import ExecutorRow
from tests.integration.executors import said, session_of
from tests.integration.house import LIMIT, STUBS

FORM = {"type": "object", "properties": {"which": {"type": "string", "enum": ["A", "B"]}}, "required": ["which"]}
A = "accept {'which': 'A'}"


def asking(protocol: str = "legacy") -> ExecutorRow:
    """Return the row of the server that asks."""
    args = (str(STUBS / "asking_server.py"),)
    return ExecutorRow.model_validate({"command": sys.executable, "args": args, "tool": "ask", "protocol": protocol})


class Person:
    """Takes questions and answers them."""

    def __init__(self, task_id: str = "t", answer: Answer | None = None) -> None:
        self.asked: list[Asked] = []
        self.heard, self.left = anyio.Event(), anyio.Event()
        self._answer = answer or Answer(action=Action.ACCEPT, content={"which": "A"})
        self.caller = Caller(task_id, self)

    async def __call__(self, asked: Asked) -> Answer:
        """Answer a question."""
        self.asked.append(asked)
        return self._answer


class Absent(Person):
    """Never answers; knows when it is no longer asked."""

    async def __call__(self, asked: Asked) -> Answer:
        """Wait."""
        self.asked.append(asked)
        self.heard.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.left.set()
        raise AssertionError


async def called(session: Session, tool: str, person: Person | None, **arguments: Any) -> str:
    caller = person.caller if person else None
    answer = await session.call(tool, arguments, timeout=LIMIT, caller=caller)
    assert isinstance(answer, CallToolResult), answer
    return said(answer)


async def test_questions_reach_their_call_and_the_answers_go_back(tmp_path: Path) -> None:
    no = Answer(action=Action.DECLINE, content={"message": "no"})
    async with session_of(tmp_path, asking()) as session:
        assert await called(session, "ask", person := Person(), text="which", times=2) == f"{A}; {A}"
        assert person.asked == [
            Asked(kind=QuestionKind.INPUT, text=f"which {number}", schema=FORM) for number in range(2)
        ]
        assert await called(session, "ask", Person(answer=no), text="x") == "decline {'message': 'no'}"
        assert await called(session, "ask", None, text="x") == "cancel None"
        page = Person(answer=Answer(action=Action.ACCEPT))
        assert await called(session, "ask_to_open", page, url="https://example.org/login") == "accept None"
        opens = [(asked.kind, asked.text) for asked in page.asked]
        assert opens == [(QuestionKind.PERMISSION, "log in\nhttps://example.org/login")]


async def test_a_question_that_is_the_answer_to_a_call_is_that_calls_own(tmp_path: Path) -> None:
    people = [Person(task_id=f"t{number}") for number in range(3)]
    async with session_of(tmp_path, asking("auto")) as session, anyio.create_task_group() as tasks:
        for number, person in enumerate(people):
            tasks.start_soon(partial(called, session, "ask_by_return", person, text=f"which {number}"))
    assert [[asked.text for asked in person.asked] for person in people] == [["which 0"], ["which 1"], ["which 2"]]


async def test_of_calls_that_share_a_session_the_one_that_is_named_is_asked_and_else_nobody(tmp_path: Path) -> None:
    async with session_of(tmp_path, asking()) as session, anyio.create_task_group() as tasks:
        other = Absent("other")
        tasks.start_soon(partial(called, session, "ask_as", other, text="x", task_id="other"))
        with anyio.fail_after(LIMIT):
            await other.heard.wait()
        mine, nobody = Person("mine"), Person("nobody")
        assert await called(session, "ask_as", mine, text="may I", task_id="mine") == A
        assert [asked.kind for asked in mine.asked] == [QuestionKind.PERMISSION]
        assert await called(session, "ask", nobody, text="whose") == "cancel None"
        assert await called(session, "ask_as", nobody, text="whose", task_id="a stranger") == "cancel None"
        assert not nobody.asked
        tasks.cancel_scope.cancel()


class Slow(Person):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.told = anyio.Event()

    async def __call__(self, asked: Asked) -> Answer:
        """Answer once that is due."""
        self.heard.set()
        await self.told.wait()
        return await super().__call__(asked)


async def test_the_time_in_which_a_person_thinks_does_not_count_against_the_call(tmp_path: Path) -> None:
    limit = 2.0
    async with session_of(tmp_path, asking()) as session:
        await called(session, "ask", Person(), text="warm up")
        slow, answers = Slow(), list[object]()

        async def call() -> None:
            answers.append(await session.call("ask", {"text": "x"}, timeout=limit, caller=slow.caller))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await slow.heard.wait()
            await anyio.sleep(limit + 0.5)  # what is shown is that real time passes
            slow.told.set()
    (answer,) = answers
    assert isinstance(answer, CallToolResult), answer
    assert said(answer) == A


async def test_a_server_may_take_its_question_back_and_go_on(tmp_path: Path) -> None:
    async with session_of(tmp_path, asking()) as session:
        absent = Absent()
        assert await called(session, "ask_and_leave", absent, text="x") == "went on without"
        with anyio.fail_after(LIMIT):
            await absent.left.wait()
