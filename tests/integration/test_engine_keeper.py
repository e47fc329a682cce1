"""A face keeps an engine alive, also when the first ones do not come up."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from omni_mcp import app, background, keeper
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
        async with app.running_face(here.home) as service:
            task = await service.submit(a_spec(type="echo"))
            await until(lambda: background.view(here.home).pid)
            assert (await service.status(task.task_id, wait_seconds=20)).state == "completed"
            assert tries == [3]
            assert (await service.mode()).engine.startswith("pid")
