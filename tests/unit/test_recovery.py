"""What becomes of a task whose engine is gone."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from omni_mcp.decide.recovery import after_death, bound_to, continues, is_heard
from omni_mcp.decide.retry import Park, Release
from omni_mcp.task import Failed, FailureClass, Outcome, Recovery, Task, TaskSpec, TaskState, WaitingFor
from omni_mcp.testing import DONE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELD = Task(
    id="abcdef",
    spec=TaskSpec(description="x"),
    state=TaskState.EXECUTING,
    since=NOW,
    created_at=NOW,
    updated_at=NOW,
    attempt=1,
    owner="gone",
    served_by="claude_code",
    run_id="run-1",
)


@pytest.mark.parametrize("recovery", list(Recovery))
def test_what_never_left_the_house_is_free_again(recovery: Recovery) -> None:
    assert isinstance(after_death(replace(HELD, state=TaskState.DISPATCHING), recovery=recovery, cause="died"), Release)


@pytest.mark.parametrize("recovery", [Recovery.RESUME, Recovery.RETRY, Recovery.ATTACH])
def test_a_run_that_may_go_on_is_free_again(recovery: Recovery) -> None:
    assert isinstance(after_death(HELD, recovery=recovery, cause="died"), Release)


def test_a_run_of_unknown_outcome_waits_for_a_person() -> None:
    end = after_death(HELD, recovery=Recovery.ASK, cause="its engine died")
    assert isinstance(end, Park)
    assert end.waiting_for is WaitingFor.CONSENT
    assert "resume_pending" in end.text


def test_only_the_same_executor_goes_on_in_the_session() -> None:
    assert continues(HELD, executor="claude_code", recovery=Recovery.RESUME)
    assert not continues(HELD, executor="assistant", recovery=Recovery.RESUME)
    assert not continues(HELD, executor="claude_code", recovery=Recovery.RETRY)
    assert not continues(replace(HELD, run_id=None), executor="claude_code", recovery=Recovery.RESUME)


@pytest.mark.parametrize(
    ("outcome", "heard"),
    [
        (DONE, True),
        (Failed(kind=FailureClass.PROVIDER, message="no cloud"), True),
        (Failed(kind=FailureClass.PROVIDER, message="its host is away", lives=True), False),
        (Failed(kind=FailureClass.INTERRUPTED, message="cut off"), False),
        (Failed(kind=FailureClass.UNKNOWN, message="?"), False),
    ],
)
def test_the_end_of_a_run_that_lives_elsewhere_is_heard_only_from_there(outcome: Outcome, heard: bool) -> None:
    assert is_heard(outcome, recovery=Recovery.ATTACH) == heard
    assert not is_heard(outcome, recovery=Recovery.RESUME)


def test_a_task_is_bound_to_the_executor_with_which_its_run_may_live() -> None:
    assert bound_to(HELD, {"claude_code": Recovery.ATTACH}) == "claude_code"
    assert bound_to(HELD, {"claude_code": Recovery.RESUME}) is None
    assert bound_to(HELD, {}) is None
    assert bound_to(replace(HELD, run_id=None), {"claude_code": Recovery.ATTACH}) is None
