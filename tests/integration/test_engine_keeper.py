"""A face keeps an engine alive, also when the first ones do not come up."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from omni_mcp import background, keeper
from omni_mcp.app.face import running_face
from omni_mcp.home import Home
from omni_mcp.testing import a_spec
from tests.integration.house import house, until


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it outlives its Popen
async def test_an_engine_that_was_killed_at_its_start_is_started_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FALLBACK_POLL", 0.02)
    real, tries = background.engine_argv, [0]

    def killed_twice(home: Home) -> Sequence[str]:
        tries[0] += 1
        return ["/bin/sh", "-c", "kill -9 $$"] if tries[0] <= 2 else real(home)

    monkeypatch.setattr(background, "engine_argv", killed_twice)
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with running_face(here.home) as service:
            task = await service.submit(a_spec(type="echo"))
            await until(lambda: background.view(here.home).pid)
            assert (await service.status(task.task_id, wait_seconds=20)).state == "completed"
            assert tries == [3]
            assert (await service.mode()).engine.startswith("pid")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it outlives its Popen
async def test_an_engine_that_died_before_anybody_saw_its_lock_is_told_by_its_own_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FALLBACK_POLL", 0.02)
    tries = [0]

    def counts_and_dies(home: Home) -> Sequence[str]:
        tries[0] += 1
        counted = json.dumps({"count": tries[0], "at": datetime.now(UTC).isoformat()})
        return [
            "/bin/sh",
            "-c",
            'echo "$1" > "$2"; echo Boom: no disk; exit 1',
            "sh",
            counted,
            str(home.engine_crashes),
        ]

    monkeypatch.setattr(background, "engine_argv", counts_and_dies)
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with running_face(here.home) as service:
            await service.submit(a_spec(type="echo"))

            async def is_told() -> bool:
                return "2 times in a row right after its start: Boom: no disk" in (await service.mode()).engine

            await until(is_told)
            assert tries == [2]  # the third waits its turn
