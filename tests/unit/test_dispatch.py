"""Nudges on loopback."""

import anyio

from omni_mcp.dispatch.local import LocalDispatch


async def test_a_nudge_rings_the_engine() -> None:
    dispatch = LocalDispatch()
    async with dispatch.listen() as doorbell:
        rung = doorbell.rung
        dispatch.nudge(doorbell.address, "abc")
        with anyio.fail_after(5):
            await rung.wait()
        assert doorbell.rung is not rung


async def test_a_nudge_to_nobody_or_elsewhere_is_nothing() -> None:
    dispatch = LocalDispatch()
    for address in ("127.0.0.1:9", "192.0.2.1:9", "nonsense", ""):
        dispatch.nudge(address, "abc")
