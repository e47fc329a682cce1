"""What a client that drives tasks itself is told of the rows of the ledger, and what it may do to them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from mcp import MCPError
from mcp.types import CallToolResult
from mcp_types.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY

from omni_mcp.faces.mcp import create_face
from omni_mcp.service.service import Service
from omni_mcp.task import Completed, Failed, FailureClass, Outcome, TaskState, WaitingFor
from tests.integration.native import Driver, Drives, driving
from tests.unit.test_questions import MAY_I, WHICH, asked
from tests.unit.test_service import Place, place

DONE = Completed(text="the answer")


async def nobody(*_: Any) -> ElicitResult[Any]:
    """Stand in for a user who is never asked."""
    raise AssertionError


@dataclass
class Desk:
    """A client that drives tasks, and the place behind its face."""

    here: Place
    driver: Driver

    async def made(self) -> str:
        """Have a task made over the wire, and at work."""
        made = await self.driver.submit(description="x")
        return await self.here.executing(made.task_id)

    async def get(self, task_id: str) -> Mapping[str, Any]:
        return await self.driver.send("tasks/get", taskId=task_id)

    async def status(self, task_id: str) -> str:
        return (await self.get(task_id))["status"]

    async def ends(self, state: TaskState, outcome: Outcome) -> Mapping[str, Any]:
        """Have a task end so; returns what is told of it."""
        task_id = await self.made()
        await self.here.ledger.finish(task_id, attempt=1, owner="me", state=state, outcome=outcome)
        return await self.get(task_id)

    async def waits(self, waiting_for: WaitingFor) -> str:
        """Have a task wait after its first attempt."""
        task_id = await self.made()
        await self.here.ledger.park(
            task_id, attempt=1, owner="me", waiting_for=waiting_for, text="it may have had effects", due_at=None
        )
        return task_id


def a_client(service: Service, **more: Any) -> Client[Any]:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Service]:
        yield service

    return Client(create_face(opened), **more)


@asynccontextmanager
async def desk(tmp_path: Path, *, elicits: bool = True) -> AsyncGenerator[Desk]:
    async with place(tmp_path) as here:
        handler = nobody if elicits else None
        async with driving(a_client(here.service, extensions=[Drives()], elicitation_handler=handler)) as driver:
            yield Desk(here, driver)


async def code_of(driver: Driver, method: str, **params: Any) -> tuple[int, str]:
    with pytest.raises(MCPError) as caught:
        await driver.send(method, **params)
    return caught.value.error.code, caught.value.error.message


async def test_a_wait_becomes_a_task_only_for_a_client_that_declares_it_and_asks_to_wait(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        made = await at.driver.submit(description="x", idempotency_key="k")
        assert (made.status, made.ttl_ms, made.poll_interval_ms > 0) == ("working", None, True)
        assert (await at.driver.submit(description="x", idempotency_key="k")).task_id == made.task_id
        plain = await at.driver.call("submit_task", description="x")
        assert isinstance(plain, CallToolResult)
        refused = await at.driver.call("submit_task", description=" ", wait_seconds=5)
        assert isinstance(refused, CallToolResult)
        assert refused.is_error
        await at.here.ended(made.task_id, TaskState.COMPLETED)
        known = await at.driver.call("submit_task", description="x", idempotency_key="k", wait_seconds=5)
        assert isinstance(known, CallToolResult)
        assert (known.structured_content or {})["task_id"] == made.task_id
        async with a_client(at.here.service, mode="legacy", extensions=[Drives()]) as older:
            told = await older.call_tool_mcp("submit_task", {"description": "x", "wait_seconds": 0.01})
            assert (told.structured_content or {})["state"] == "idle"


async def test_the_end_of_a_task_is_what_task_status_would_have_answered(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        told = await at.ends(TaskState.COMPLETED, DONE)
        assert (told["status"], told["result"]["isError"]) == ("completed", False)
        view = told["result"]["structuredContent"]
        assert view == (await at.here.service.status(told["taskId"])).shown()
        assert view["summary"] == "the answer"
        assert "the answer" in told["result"]["content"][0]["text"]
        failed = await at.ends(TaskState.FAILED, Failed(kind=FailureClass.TASK, message="cannot be done"))
        assert (failed["status"], failed["result"]["isError"], "error" in failed) == ("completed", True, False)
        assert failed["result"]["structuredContent"]["next_step"].startswith("task_result")
        broke = await at.ends(TaskState.FAILED, Failed(kind=FailureClass.UNKNOWN, message="gave error -32603"))
        assert (broke["status"], broke["error"]["message"], "result" in broke) == ("failed", "gave error -32603", False)


async def test_a_question_is_an_input_request_and_its_answer_an_update(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.made()
        first, second = await asked(at.here, task_id), await asked(at.here, task_id, replace(WHICH, text="And then?"))
        told = await at.get(task_id)
        assert (told["status"], list(told["inputRequests"])) == ("input_required", [first, second])
        request = told["inputRequests"][first]
        assert (request["method"], request["params"]["message"]) == ("elicitation/create", WHICH.text)
        assert request["params"]["requestedSchema"] == WHICH.schema
        answer = {"action": "accept", "content": {"which": "A"}}
        wrong = {"action": "accept", "content": {"which": "C"}}
        update = {"taskId": task_id, "inputResponses": {first: wrong}}
        assert (await code_of(at.driver, "tasks/update", **update))[0] == INVALID_PARAMS
        assert (await code_of(at.driver, "tasks/update", **update | {"inputResponses": {first: 5}}))[
            0
        ] == INVALID_PARAMS
        told = await at.driver.send("tasks/update", **update | {"inputResponses": {first: answer, "q9": 5}})
        assert told["resultType"] == "complete"
        assert list((await at.get(task_id))["inputRequests"]) == [second]
        await at.driver.send("tasks/update", **update | {"inputResponses": {first: wrong, second: answer}})
        assert await at.status(task_id) == "working"


async def test_a_permission_is_no_clients_to_give_and_who_cannot_be_asked_reads_what_to_do(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.made()
        question = await asked(at.here, task_id, MAY_I, for_people=True)
        told = await at.get(task_id)
        assert (told["status"], "inputRequests" in told) == ("working", False)
        assert "omni-mcp answer" in told["statusMessage"]
        update = {"taskId": task_id, "inputResponses": {question: {"action": "accept"}}}
        code, said = await code_of(at.driver, "tasks/update", **update)
        assert (code, "only a person" in said) == (INVALID_PARAMS, True)
    async with desk(tmp_path / "deaf", elicits=False) as at:
        task_id = await at.made()
        await asked(at.here, task_id)
        told = await at.get(task_id)
        assert (told["status"], "answer_task" in told["statusMessage"]) == ("working", True)


async def test_consent_is_asked_for_once_and_only_a_yes_runs_it_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.waits(WaitingFor.CONSENT)
        told = await at.get(task_id)
        assert (told["status"], list(told["inputRequests"])) == ("input_required", ["consent-1"])
        update = {"taskId": task_id, "inputResponses": {"consent-1": {"action": "decline"}}}
        await at.driver.send("tasks/update", **update)
        told = await at.get(task_id)
        assert (told["status"], "resume_pending" in told["statusMessage"]) == ("working", True)
        again = await at.waits(WaitingFor.CONSENT)
        stale = {"taskId": again, "inputResponses": {"consent-0": {"action": "accept"}}}
        await at.driver.send("tasks/update", **stale)
        assert await at.status(again) == "input_required"
        await at.driver.send("tasks/update", taskId=again, inputResponses={"consent-1": {"action": "accept"}})
        assert (await at.here.service.row(again)).state is TaskState.IDLE


async def test_what_goes_on_by_itself_is_work_and_says_what_it_waits_for(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for waiting_for in (WaitingFor.CLOUD, WaitingFor.RETRY, WaitingFor.BUDGET, WaitingFor.RESET):
            told = await at.get(await at.waits(waiting_for))
            assert (told["status"], "it may have had effects" in told["statusMessage"]) == ("working", True), (
                waiting_for
            )


async def test_a_cancel_is_acknowledged_at_once_and_an_end_stays(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        made = await at.driver.submit(description="x")
        acknowledged = await at.driver.send("tasks/cancel", taskId=made.task_id)
        assert (acknowledged["resultType"], "status" in acknowledged) == ("complete", False)
        assert await at.status(made.task_id) == "cancelled"
        done = await at.ends(TaskState.COMPLETED, DONE)
        await at.driver.send("tasks/cancel", taskId=done["taskId"])
        assert await at.status(done["taskId"]) == "completed"
        working = await at.made()
        await at.driver.send("tasks/cancel", taskId=working)
        assert (await at.here.service.row(working)).cancel_requested_at is not None


async def test_a_task_of_somebody_else_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.made()
        other = replace(at.here.service, principal="somebody else")
        async with driving(a_client(other, extensions=[Drives()])) as driver:
            for method in ("tasks/get", "tasks/cancel", "tasks/update"):
                more: dict[str, Any] = {"inputResponses": {}} if method == "tasks/update" else {}
                theirs = await code_of(driver, method, taskId=task_id, **more)
                unknown = await code_of(driver, method, taskId="a" * 24, **more)
                assert (theirs[0], theirs[1].replace(task_id, "")) == (unknown[0], unknown[1].replace("a" * 24, ""))
        assert (await code_of(at.driver, "tasks/get", taskId=task_id[:8]))[0] == INVALID_PARAMS
        assert await at.status(task_id) == "working"


async def test_a_client_without_the_extension_has_no_methods_of_it(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        task_id = await here.submitted()
        async with driving(a_client(here.service)) as driver:
            assert (await code_of(driver, "tasks/get", taskId=task_id))[0] == MISSING_REQUIRED_CLIENT_CAPABILITY
        async with driving(a_client(here.service, mode="legacy")) as driver:
            assert (await code_of(driver, "tasks/get", taskId=task_id))[0] == METHOD_NOT_FOUND
            assert driver.client.initialize_result is not None
        async with a_client(here.service, extensions=[Drives()]) as client:
            assert TASKS_EXTENSION_ID in ((await client.session.discover()).capabilities.extensions or {})
