"""Many executors in one house: none disturbs another, and none is left."""

from pathlib import Path

import anyio
import pytest

from omni_mcp.contract import OWNER_MARK
from omni_mcp.errors import ExecutorLost, ExecutorUnusable, UnknownExecutor
from omni_mcp.executors.pool import Pool, swept
from omni_mcp.processes import marked
from omni_mcp.task import Completed, new_id
from tests.integration.executors import (
    Heard,
    a_request,
    bad,
    http_adapter,
    remote_adapter,
    settings_of,
)
from tests.integration.house import LIMIT, free_port, until


def ignore(_line: str) -> None:
    """Take no notice of progress."""


async def test_nothing_is_opened_before_it_is_used_and_nothing_is_left_after(tmp_path: Path) -> None:
    owner = new_id()
    async with Pool(settings_of(tmp_path, a=bad(), b=bad(), c=bad("deaf")), owner=owner) as pool:
        executors = [pool.get(name) for name in pool.specs]
        assert marked(OWNER_MARK, owner) == []
        for executor in executors:
            await executor.run(a_request(), ignore)
        assert len(marked(OWNER_MARK, owner)) == 3
    assert marked(OWNER_MARK, owner) == []


async def test_an_executor_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    async with Pool(settings_of(tmp_path, a=bad()), owner=new_id()) as pool:
        assert pool.get("a") is pool.get("a")


async def test_an_executor_that_cannot_be_used_says_why_and_an_unknown_one_names_the_others(tmp_path: Path) -> None:
    async with Pool(settings_of(tmp_path, a=bad(command="no-such-program")), owner=new_id()) as pool:
        with pytest.raises(ExecutorUnusable, match="'no-such-program' is not installed"):
            pool.get("a")
        with pytest.raises(UnknownExecutor, match="there are: a"):
            pool.get("b")


async def test_one_that_dies_in_mid_call_leaves_the_others_unharmed(tmp_path: Path) -> None:
    owner, port, heard = new_id(), free_port(), Heard()
    rows = {"doomed": bad(tool="never"), "steady": bad(tool="meet"), "remote": remote_adapter(port)}
    async with http_adapter(port):
        async with Pool(settings_of(tmp_path, **rows), owner=owner) as pool, anyio.create_task_group() as tasks:
            lost = anyio.Event()

            async def doomed() -> None:
                with pytest.raises(ExecutorLost):
                    await pool.get("doomed").run(a_request(), heard)
                lost.set()

            async def steady() -> None:
                outcome = await pool.get("steady").run(a_request(), ignore)
                assert isinstance(outcome, Completed)
                assert outcome.text == "met"

            tasks.start_soon(doomed)
            await heard.first()
            (victim,) = marked(OWNER_MARK, owner)
            # Two of three: they wait for the third, which comes when the doomed one is dead.
            tasks.start_soon(steady)
            tasks.start_soon(steady)
            victim.kill()
            with anyio.fail_after(LIMIT):
                await lost.wait()
            assert (await pool.get("remote").health()).ok
            await steady()


async def test_a_pool_is_closed_even_when_its_house_is_being_cancelled(tmp_path: Path) -> None:
    owner = new_id()
    with anyio.CancelScope() as scope:
        async with Pool(settings_of(tmp_path, a=bad()), owner=owner) as pool:
            await pool.get("a").run(a_request(), ignore)
            scope.cancel()
            await anyio.sleep_forever()
    assert marked(OWNER_MARK, owner) == []


async def test_a_server_that_is_still_starting_does_not_outlive_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_mcp.executors.pool.CLOSE_LIMIT", 0.1)
    owner = new_id()
    async with anyio.create_task_group() as tasks:
        async with swept(owner), Pool(settings_of(tmp_path, a=bad("mute", "deaf")), owner=owner) as pool:

            async def run() -> None:
                with pytest.raises(ExecutorUnusable):
                    await pool.get("a").run(a_request(), ignore)

            tasks.start_soon(run)
            await until(lambda: bool(marked(OWNER_MARK, owner)))
        assert marked(OWNER_MARK, owner) == []
