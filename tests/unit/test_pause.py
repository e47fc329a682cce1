"""A limit that stands still while somebody is asked."""

import math

import anyio

from omni_mcp.pause import Pause


async def test_a_limit_stands_still_while_anything_is_asked_and_then_goes_on() -> None:
    pause = Pause(scope := anyio.CancelScope(deadline=anyio.current_time() + 100))
    with pause.asking():
        with pause.asking():
            assert scope.deadline == math.inf
        assert scope.deadline == math.inf
    assert 0 < scope.deadline - anyio.current_time() <= 100


async def test_a_limit_that_has_run_out_is_not_moved() -> None:
    deadline = anyio.current_time() - 1
    with anyio.CancelScope(deadline=deadline) as scope:
        await anyio.lowlevel.checkpoint()
    with Pause(scope).asking():
        assert scope.deadline == deadline
