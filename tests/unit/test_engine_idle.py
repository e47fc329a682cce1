"""A submit at each moment of an engine's idle exit: either this engine runs it, or the submit has seen it gone."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from omni_mcp.dispatch.local import LocalDoorbell
from omni_mcp.ledger.base import EngineMark, Ledger, Submitted
from omni_mcp.task import LOCAL, TaskState, new_id
from omni_mcp.testing import START, FakeExecutor, ToldClock, a_spec, engine_for, ledger_for_tests

LIMIT = 10.0
"""Seconds that anything may take here."""
IDLE = timedelta(minutes=10)


class Halting:
    """A ledger that stops a caller before or after the nth call that it gets, until it is let go."""

    def __init__(self, ledger: Ledger, *, at: int, after: bool) -> None:
        self.calls: list[str] = []
        self.halted = anyio.Event()
        self.let_go = anyio.Event()
        self._ledger, self._at, self._after = ledger, at, after

    def __getattr__(self, verb: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            self.calls.append(verb)
            here = len(self.calls) == self._at
            if here and not self._after:
                await self._halt()
            answer = await getattr(self._ledger, verb)(*args, **named)
            if here and self._after:
                await self._halt()
            return answer

        return call

    async def _halt(self) -> None:
        self.halted.set()
        await self.let_go.wait()


async def submitted(ledger: Ledger) -> Submitted:
    return await ledger.submit(a_spec(cwd="/"), task_id=new_id(), choice=None)


class TimePasses(LocalDoorbell):
    """Rings at once whenever it is listened to, and much later."""

    def __init__(self, clock: ToldClock) -> None:
        super().__init__()
        self._clock = clock

    @property
    def rung(self) -> anyio.Event:
        self._clock.advance(IDLE)
        rung = super().rung
        self.ring()
        return rung


@pytest.mark.parametrize("after", [False, True])
async def test_a_submit_at_each_moment_of_the_idle_exit_always_runs(after: bool, tmp_path: Path) -> None:
    moments: list[str] = []
    while (verb := await submitting(len(moments) + 1, after=after, folder=tmp_path / str(len(moments)))) is not None:
        moments.append(verb)
    assert moments.count("retire") == 1, moments
    assert len(set(moments)) > 5, moments


async def submitting(at: int, *, after: bool, folder: Path) -> str | None:
    """Submit while an idle engine is at its nth call; returns the verb, None when the engine was gone before that."""
    async with ledger_for_tests(folder, clock := ToldClock()) as ledger:
        halting = Halting(ledger, at=at, after=after)
        engine = engine_for(
            cast(Ledger, halting), FakeExecutor(), home=folder, clock=clock, exits=True, doorbell=TimePasses(clock)
        )
        await ledger.announce(EngineMark(owner="engine", pid=1, version="1", log="", address="", started_at=START))
        ended: list[str | None] = []
        answers: list[Submitted] = []

        async def run() -> None:
            ended.append(await engine.run())
            halting.halted.set()

        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await halting.halted.wait()
                if not ended:
                    answers.append(await submitted(ledger))
                halting.let_go.set()
        if not answers:
            return None
        told = answers[0]
        task = await ledger.find(told.task.id, principal=LOCAL)
        assert told.engine is not None
        expected = TaskState.COMPLETED if told.engine.there else TaskState.IDLE
        assert (task.state, told.engine.there) == (expected, not (after and halting.calls[at - 1] == "retire"))
        return halting.calls[at - 1]
