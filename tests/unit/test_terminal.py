"""What a person sees at a terminal of tasks whose executors say what they like."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from omni_mcp.faces.text.mode import print_mode
from omni_mcp.faces.text.result import print_result
from omni_mcp.faces.text.task import attempt_line, print_task
from omni_mcp.faces.text.tasks import print_list
from omni_mcp.faces.text.words import local
from omni_mcp.faces.watch import watch_tasks
from omni_mcp.lang import say
from omni_mcp.lang.console import Speaking
from omni_mcp.task import Mode, TaskState, WaitingFor
from omni_mcp.testing import START
from omni_mcp.views.attempts import AttemptView
from omni_mcp.views.mode import ModeView
from omni_mcp.views.next_step import NEXT_STEP_WAITING
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import EventView, ListView, TaskView

A_MODE = ModeView(
    mode=Mode.NORMAL,
    since=START,
    cause="all is well",
    text="",
    held={"executor": 1, "cloud": 2},
    repair="off: nothing is configured",
    engine="running",
    settings="servers.yaml",
    open_tasks={},
    executors={},
)
TITLE = "\x1b]0;owned\x07\x9b2Jdone\tas told\n"


def a_view(**changes: Any) -> TaskView:
    """Return a task as it is shown, with changes."""
    told: dict[str, Any] = {
        "task_id": "a1b2c3d4e5f6",
        "description": "count the sheep",
        "state": TaskState.EXECUTING,
        "since": START,
        "last_activity": START,
        "next_step": "task_result",
    }
    return TaskView(**{**told, **changes})


def console(*, terminal: bool = False, width: int = 120) -> Speaking:
    """Return a console that keeps what is printed."""
    return Speaking(
        file=io.StringIO(),
        force_terminal=terminal,
        color_system=None,
        width=width,
        soft_wrap=True,
        legacy_windows=False,
    )


def printed(out: Speaking) -> str:
    """Return what a console was told."""
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("words", ["task_result", "no", "stopped on request"])
def test_the_progress_of_an_executor_stays_as_it_is(language: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_LANG", language)
    out = console()
    line = EventView(seq=1, at=START, attempt=1, kind="progress", text=words)
    print_task(out, a_view(progress=words, events=[line]))
    print_list(out, ListView(tasks=[a_view(progress=words)]))
    assert printed(out).count(words) == 3


def test_what_could_move_a_terminal_is_taken_out_of_the_words_of_others() -> None:
    out = console(terminal=True)
    print_task(out, a_view(progress=TITLE, text=TITLE))
    print_list(out, ListView(tasks=[a_view(description=TITLE, served_by=TITLE)]))
    print_result(out, ResultView(task_id="a", state=TaskState.COMPLETED, text=TITLE, offset=0, total_chars=9))
    out.print(f"omni-mcp: {TITLE}", markup=False)
    assert not {"\x1b", "\x07", "\x9b"} & set(printed(out))
    assert "\N{REPLACEMENT CHARACTER}]0;owned" in printed(out)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_list_has_a_line_a_task_with_its_whole_id_and_state(width: int) -> None:
    out = console(terminal=True, width=width)
    long = {"served_by": "claude_code", "requested": "claude_code", "progress": "reads a file " * 9}
    waits = a_view(state=TaskState.WAITING, waiting_for=WaitingFor.DEPENDENCY, description="数羊 " * 60, **long)
    print_list(out, ListView(tasks=[waits, waits]))
    rows = [line for line in printed(out).splitlines() if "a1b2c3d4" in line]
    assert len(rows) == 2
    assert all("waiting (dependency)" in row and "…" in row and cell_len(row) <= width for row in rows)
    assert ("att." in printed(out)) == (width >= 100)


@dataclass
class Stuck:
    """A service whose one task waits for a person for a few looks, and is cancelled then."""

    ledger: "Stuck | None" = None
    looks: int = 0

    async def watermark(self) -> int:
        return self.looks

    async def changed(self, seen: int, timeout: timedelta) -> None:
        del seen, timeout

    async def mode(self) -> ModeView:
        return A_MODE

    async def status(self, task_id: str) -> TaskView:
        self.looks += 1
        if self.looks > 3:
            return a_view(task_id=task_id, state=TaskState.CANCELLED)
        waits = WaitingFor.EXECUTOR
        step = NEXT_STEP_WAITING[waits]
        return a_view(task_id=task_id, state=TaskState.WAITING, waiting_for=waits, text="odd is gone", next_step=step)


@pytest.mark.parametrize("terminal", [True, False])
async def test_who_follows_a_task_that_only_a_person_can_mend_is_told_so_once(terminal: bool) -> None:
    out = console(terminal=terminal)
    stuck: Any = Stuck()
    stuck.ledger = stuck
    await watch_tasks(stuck, out, "a1b2c3d4e5f6")
    assert "a1b2c3d4  odd is gone" in printed(out)
    assert printed(out).count("at once with omni-mcp resume a1b2c3d4\n") == 1
    assert printed(out).count("do that, or press Ctrl-C: the task stays") == 1


def test_a_time_is_told_to_the_second_with_how_far_off_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 25, 15, 17, 4, 473915, tzinfo=UTC)
    at = f"{now.astimezone():%Y-%m-%d %H:%M:%S}"
    assert local(now, now - timedelta(seconds=20)) == f"{at} (in 20 s)"
    assert local(now, now + timedelta(minutes=3)) == f"{at} (3 min ago)"
    monkeypatch.setenv("OMNI_LANG", "zh")
    assert say(local(now, now - timedelta(seconds=20))) == f"{at}（20 秒后）"


def test_what_is_waited_for_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    out = console()
    print_mode(out, A_MODE)
    monkeypatch.setenv("OMNI_LANG", "zh")
    print_mode(out, A_MODE)
    assert "repair: off: nothing is configured\nwaiting for: executor 1, cloud 2\n" in printed(out)
    assert "等待：执行器 1, 云端 2\n" in printed(out)


def test_a_result_that_goes_into_a_pipe_stays_as_it_is() -> None:
    out = console()
    print_result(out, ResultView(task_id="a", state=TaskState.COMPLETED, text=TITLE, offset=0, total_chars=9))
    assert printed(out) == TITLE + "\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"end": "released"}, "claude_code · haiku · direct:anthropic · 12:00:00, 30 s · released"),
        ({"cost_usd": 0.25, "route": "m at api.x"}, "claude_code · haiku · m at api.x · $0.25 · 12:00:00, 30 s · runs"),
        ({"cost_usd": 0.25, "cost_unknown_calls": 1}, "· $0.25+? ·"),
        ({"cost_unknown_calls": 2}, "· ? ·"),
        ({"executor": None, "model": None, "endpoint": None}, "nobody yet · 12:00:00, 30 s · runs"),
    ],
)
def test_an_attempt_is_a_line_with_its_route_and_its_price(changes: dict[str, Any], words: str) -> None:
    began = START.astimezone().replace(hour=12, minute=0, second=0)
    told: dict[str, Any] = {"attempt": 1, "executor": "claude_code", "model": "haiku", "endpoint": "direct:anthropic"}
    told |= {"began_at": began, "ended_at": began + timedelta(seconds=30)}
    assert words in attempt_line(AttemptView(**{**told, **changes}))
