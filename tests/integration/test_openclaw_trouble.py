"""What goes wrong between the OpenClaw adapter and a gateway: each row is said with its class and its fix."""

import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from omni_mcp.adapters.openclaw import OpenClaw, Setup
from omni_mcp.adapters.openclaw_device import Device
from omni_mcp.adapters.openclaw_wire import Address, connected
from omni_mcp.contract import RunRef, RunResult
from omni_mcp.task import FailureClass
from tests.integration.fake_openclaw import FakeOpenclaw, fake_openclaw, moltworker_edge
from tests.integration.house import free_port
from tests.integration.openclaw_runs import Told, a_request, agent, called, mute, nobody

ACCESS = {"CF-Access-Client-Id": SecretStr("svc.access"), "CF-Access-Client-Secret": SecretStr("s3cret")}
HELLO = {"text": "hello"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeOpenclaw]:
    with fake_openclaw(tmp_path_factory.mktemp("gateway")) as it:
        yield it


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeOpenclaw]:
    """Give a gateway of the generation that Moltworkers have."""
    with fake_openclaw(tmp_path_factory.mktemp("old"), protocol=3) as it:
        yield it


@pytest.fixture
def gateway(shared: FakeOpenclaw) -> Generator[FakeOpenclaw]:
    yield shared
    shared.fails()
    shared.cloud.fail("ok")


async def outcome(it: OpenClaw, *steps: dict[str, Any], **fields: Any) -> RunResult:
    return await it.run(a_request(*steps, **{"timeout": 40.0, **fields}), mute, nobody)


def about(result: RunResult) -> tuple[FailureClass | None, bool]:
    """Return the class of a failure, and whether the run may live."""
    return result.failure, result.lives


# What is said at the door


@pytest.mark.parametrize(
    ("faults", "said", "fix"),
    [
        ({"scopes": []}, "did not give this client operator.read, operator.write", "openclaw devices list"),
        ({"remote": True}, "did not give this client operator.read", "openclaw devices approve"),
    ],
)
async def test_a_client_that_may_do_nothing_says_who_lets_it_in(
    gateway: FakeOpenclaw, faults: Mapping[str, Any], said: str, fix: str
) -> None:
    gateway.fails(**faults)
    result = await outcome(agent(gateway), HELLO)
    assert about(result) == (FailureClass.AUTH, False)
    assert said in str(result.message)
    assert fix in str(result.fix)


async def test_a_wrong_token_says_where_it_stands(gateway: FakeOpenclaw) -> None:
    result = await outcome(agent(gateway, token=SecretStr("wrong")), HELLO)
    assert about(result) == (FailureClass.AUTH, False)
    assert "`token` of its row" in str(result.fix)
    assert "wrong" not in result.model_dump_json()


async def test_a_device_that_is_not_paired_gives_the_command_that_pairs_it_and_works_from_then_on(
    gateway: FakeOpenclaw, tmp_path: Path
) -> None:
    key = tmp_path / "home" / "openclaw-device.key"
    gateway.fails(remote=True)
    result = await outcome(agent(gateway, device=key), HELLO)
    assert about(result) == (FailureClass.AUTH, False)
    assert "openclaw devices approve req-17" in str(result.fix)
    assert key.stat().st_mode & 0o777 == 0o600
    gateway.fails(remote=True, approved=[Device.kept_in(key).id])
    assert (await outcome(agent(gateway, device=key), HELLO)).text == "hello"


async def test_a_device_key_that_is_none_says_so(gateway: FakeOpenclaw, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("no key")
    result = await outcome(agent(gateway, device=key), HELLO)
    assert about(result) == (FailureClass.CONFIG, False)
    assert str(key) in str(result.message)


async def test_a_gateway_of_an_unknown_generation_says_that_it_must_be_updated(tmp_path: Path) -> None:
    with fake_openclaw(tmp_path / "new", protocol=9) as newer:
        result = await outcome(agent(newer), HELLO)
    assert about(result) == (FailureClass.CONFIG, False)
    assert "protocols 3 and 4" in str(result.fix)


async def test_an_agent_that_the_gateway_does_not_have_is_no_run(gateway: FakeOpenclaw) -> None:
    setup = Setup(address=Address(url=gateway.url, token=SecretStr(gateway.token)), agent="nobody")
    result = await outcome(OpenClaw(setup), HELLO)
    assert about(result) == (FailureClass.CONFIG, False)
    assert "nobody" in str(result.message)


async def test_a_gateway_that_starts_is_waited_for(gateway: FakeOpenclaw) -> None:
    gateway.fails(starting=1e9)
    told: list[str] = []

    async def tell(line: str) -> None:
        told.append(line)
        gateway.fails()

    result = await agent(gateway).run(a_request(HELLO), tell, nobody)
    assert result.text == "hello"
    assert told[0] == "the gateway is still starting; trying again"


@pytest.mark.parametrize("faults", [{"starting": 1e9}, {"draining": True}])
async def test_a_gateway_that_goes_on_starting_is_no_executor(gateway: FakeOpenclaw, faults: Mapping[str, Any]) -> None:
    gateway.fails(**faults)
    assert about(await outcome(agent(gateway, connect_timeout=1.5), HELLO)) == (FailureClass.CONFIG, False)
    assert not (await agent(gateway, connect_timeout=1.5).health()).ok


async def test_a_gateway_that_is_not_there_is_said_at_once_unless_the_run_may_live(gateway: FakeOpenclaw) -> None:
    nowhere = agent(gateway, url=f"ws://127.0.0.1:{free_port()}")
    result = await outcome(nowhere, HELLO)
    assert about(result) == (FailureClass.CONFIG, False)
    assert "openclaw gateway run" in str(result.fix)
    attached = await nowhere.attach(a_request(HELLO, timeout=2.0), mute)
    assert about(attached) == (FailureClass.CONFIG, True) or about(attached) == (FailureClass.INTERRUPTED, True)
    stopped = await nowhere.cancel(RunRef(task_id="t", attempt=1, run_id="r"))
    assert (stopped.stopped, len(stopped.remaining)) == (False, 1)


async def test_what_is_no_gateway_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute_server:
        address = Address(url=f"ws://127.0.0.1:{mute_server.getsockname()[1]}", connect_timeout=1.0)
        health = await OpenClaw(Setup(address=address)).health()
    assert not health.ok
    assert "did not answer in 1 s" in str(health.detail)


# What happens to a run


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("401", FailureClass.AUTH),
        ("404", FailureClass.CONFIG),
        ("429", FailureClass.RATE_LIMIT),
        ("503", FailureClass.PROVIDER),
        ("drop", FailureClass.PROVIDER),
    ],
)
async def test_what_its_model_provider_says_is_told_apart(gateway: FakeOpenclaw, mode: str, kind: FailureClass) -> None:
    asked = a_request(HELLO)
    gateway.cloud.fail(mode)
    assert about(await agent(gateway).run(asked, mute, nobody)) == (kind, False)
    assert (await agent(gateway).cancel(asked)).stopped


async def test_a_failure_whose_events_were_lost_is_still_the_providers(gateway: FakeOpenclaw) -> None:
    gateway.fails(silent=True, pause=0.001)
    gateway.cloud.fail("503")
    assert about(await outcome(agent(gateway), HELLO)) == (FailureClass.PROVIDER, False)


async def test_a_key_that_is_locked_is_the_gateways_trouble_and_no_model_call(gateway: FakeOpenclaw) -> None:
    before = len(gateway.cloud.calls)
    gateway.fails(locked=True)
    assert about(await outcome(agent(gateway), HELLO)) == (FailureClass.CONFIG, False)
    assert len(gateway.cloud.calls) == before


async def test_a_model_that_hangs_ends_with_the_time_of_the_task(gateway: FakeOpenclaw) -> None:
    asked = a_request(HELLO, timeout=4.0)
    gateway.cloud.fail("hang")
    result = await agent(gateway).run(asked, mute, nobody)
    assert about(result) == (FailureClass.TASK, False)
    assert "`timeout` of its row" in str(result.fix)
    assert (await agent(gateway).cancel(asked)).stopped


@pytest.mark.parametrize("faults", [{"silent": True}, {"shuffled": True}, {"hang_up": 1006}, {"hang_up": 1012}])
async def test_no_event_and_no_connection_is_needed_for_the_outcome(
    gateway: FakeOpenclaw, faults: Mapping[str, Any]
) -> None:
    before = len(gateway.cloud.calls)
    gateway.fails(**faults)
    result = await outcome(agent(gateway), {"text": "in spite of it", "sleep": 0.5})
    assert (result.text, len(gateway.cloud.calls) - before) == ("in spite of it", 1)


async def test_a_frame_of_25_megabytes_passes(gateway: FakeOpenclaw) -> None:
    gateway.fails(huge=25 << 20)
    result = await outcome(agent(gateway), {"tool": "exec", "input": {}}, {"text": "seen"})
    assert result.text == "seen"


async def test_many_runs_go_at_once_over_one_adapter(gateway: FakeOpenclaw) -> None:
    it, texts = agent(gateway), [f"answer {number}" for number in range(8)]
    results: dict[str, str] = {}

    async def one(text: str) -> None:
        results[text] = (await outcome(it, {"text": text, "sleep": 0.3})).text

    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(one, text)
    assert results == {text: text for text in texts}


async def test_a_message_is_sent_once_by_whoever_holds_a_connection(gateway: FakeOpenclaw) -> None:
    message = {"channel": "telegram", "to": "42", "message": "no cloud answers", "idempotencyKey": "k1"}
    async with connected(Address(url=gateway.url, token=SecretStr(gateway.token))) as connection:
        for _ in range(2):
            await connection.call("send", message)
    assert gateway.sent == [message]


# Gateways of the older generation, and what stands before a Moltworker


async def test_an_old_gateway_runs_a_task_and_says_what_it_cannot_promise(old: FakeOpenclaw) -> None:
    asked = a_request({"tool": "exec", "input": {}}, {"text": "done"})
    result = await agent(old).run(asked, mute, nobody)
    assert (result.text, result.notes["protocol"], result.notes["at_least_once"]) == ("done", 3, True)
    assert result.usage is not None
    calls = len(old.cloud.calls)
    assert (await agent(old).attach(asked, mute)).text == "done"
    assert len(old.cloud.calls) == calls


async def test_a_run_at_an_old_gateway_is_attached_to_and_cancelled(old: FakeOpenclaw) -> None:
    asked, calls = a_request({"text": "too late", "sleep": 30}), len(old.cloud.calls)
    results: list[RunResult] = []

    async def work() -> None:
        results.append(await agent(old).run(asked, mute, nobody))

    async def follow() -> None:
        results.append(await agent(old).attach(asked, mute))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await called(old, calls + 1)
        tasks.start_soon(follow)
        assert (await agent(old).cancel(asked)).stopped
    assert [result.status for result in results] == ["failed", "failed"]
    assert len(old.cloud.calls) == calls + 1


async def test_an_old_gateway_that_dies_does_the_work_again(tmp_path: Path) -> None:
    told = Told()
    with fake_openclaw(tmp_path / "old", protocol=3) as it:
        results: list[RunResult] = []

        async def work() -> None:
            results.append(await agent(it).run(a_request({"text": "twice", "sleep": 1}), told.add, nobody))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await called(it, 1)
            await anyio.to_thread.run_sync(it.kill)
            await anyio.to_thread.run_sync(it.start)
            await told.heard("trying again")
        assert [result.text for result in results] == ["twice"]
        assert len(it.cloud.calls) == 2


async def test_a_moltworker_is_reached_through_its_edge_however_long_it_takes_to_wake(old: FakeOpenclaw) -> None:
    with moltworker_edge(old, cold=2) as url:
        result = await outcome(agent(old, url=url, headers=ACCESS), HELLO)
    assert result.text == "hello"


async def test_an_edge_without_a_service_token_says_which_headers_it_wants_and_is_not_followed_elsewhere(
    old: FakeOpenclaw,
) -> None:
    with moltworker_edge(old) as url:
        result = await outcome(agent(old, url=url), HELLO)
    assert about(result) == (FailureClass.AUTH, False)
    assert "CF-Access-Client-Id" in str(result.fix)


async def test_a_moltworker_that_does_not_start_is_no_executor(old: FakeOpenclaw) -> None:
    with moltworker_edge(old, fails=True) as url:
        result = await outcome(agent(old, url=url, headers=ACCESS, connect_timeout=1.5), HELLO)
    assert about(result) == (FailureClass.CONFIG, False)
    assert "HTTP 503" in str(result.message)


async def test_a_message_that_the_edge_rewrote_is_still_a_device_to_be_paired(
    gateway: FakeOpenclaw, tmp_path: Path
) -> None:
    gateway.fails(remote=True)
    with moltworker_edge(gateway) as url:
        result = await outcome(agent(gateway, url=url, headers=ACCESS, device=tmp_path / "key"), HELLO)
    assert about(result) == (FailureClass.AUTH, False)
    assert "openclaw devices approve req-17" in str(result.fix)
