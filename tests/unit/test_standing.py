"""The mode as faces show it."""

from datetime import timedelta
from typing import Any

from omni_mcp.decide.mode_state import Setup, begin, dumped
from omni_mcp.ledger.base import ModeChange, ModeMark
from omni_mcp.standing import mode_view
from omni_mcp.task import Mode
from omni_mcp.testing import START

HOUR = timedelta(hours=1)


def test_the_end_of_an_override_is_the_beginning_of_the_mode_that_holds_since() -> None:
    changes = [
        ModeChange(at=START + HOUR, was=Mode.NORMAL, mode=Mode.DEGRADED, cause="set by hand"),
        ModeChange(at=START + HOUR * 2, was=Mode.DEGRADED, mode=Mode.NORMAL, cause="nothing has failed"),
    ]
    mark = ModeMark(mode=Mode.NORMAL, state=dumped(begin(START)), prober=None)
    shown: dict[str, Any] = {"repair": "off", "engine": "none", "settings": "none", "open_tasks": {}, "executors": {}}
    view = mode_view(mark, Setup(), changes, START + HOUR * 3, **shown)
    assert (view.mode, view.since) == (Mode.NORMAL, START + HOUR * 2)
