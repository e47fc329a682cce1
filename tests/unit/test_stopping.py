"""When a running attempt is stopped, and what that means."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from omni_mcp.decide.stopping import Stop, stopped, stops
from omni_mcp.task import FailureClass, Task, TaskState, WaitingFor
from omni_mcp.testing import START, a_spec

HOUR = timedelta(hours=1)


def a_task(**changes: Any) -> Task:
    fields: dict[str, Any] = {"spec": a_spec(deadline=START), "served_by": "fake", "attempt": 2, **changes}
    return Task(id="t", state=TaskState.EXECUTING, since=START, created_at=START, updated_at=START, **fields)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spec": a_spec()}, None),
        ({"spec": a_spec(deadline=START + HOUR)}, None),
        ({}, "deadline"),
        ({"cancel_requested_at": START}, "cancel"),
    ],
)
def test_a_task_is_stopped_on_request_and_at_its_deadline(changes: dict[str, Any], why: Stop | None) -> None:
    assert stops(a_task(**changes), START, patience=HOUR) == why


@pytest.mark.parametrize(("waited", "why"), [(timedelta(minutes=59), None), (HOUR, "input"), (-HOUR, "input")])
def test_a_run_that_nobody_answers_is_ended(waited: timedelta, why: Stop | None) -> None:
    task = replace(a_task(spec=a_spec(), waiting_for=WaitingFor.INPUT), state=TaskState.WAITING)
    assert stops(task, START + waited, patience=HOUR) == why


@pytest.mark.parametrize(
    ("why", "kind", "told"),
    [
        ("cancel", FailureClass.CANCELLED, "stopped on request; left: pid 7"),
        (
            "deadline",
            FailureClass.DEADLINE,
            "came during attempt 2 on fake, which was stopped; it last said: step 3; left",
        ),
        ("shutdown", FailureClass.INTERRUPTED, "the engine stopped it; left: pid 7"),
    ],
)
def test_a_stop_says_why_and_what_is_left(why: Stop, kind: FailureClass, told: str) -> None:
    task = replace(a_task(progress="step 3"), since=START - HOUR)
    failed = stopped(task, why, left="pid 7")
    assert failed.kind is kind
    assert told in failed.message
    assert "left" not in stopped(a_task(), why, left="").message


def test_an_attempt_that_began_after_the_deadline_only_stops_the_run() -> None:
    assert "came before attempt 2, which was only to stop its run" in stopped(a_task(), "deadline", left="").message
