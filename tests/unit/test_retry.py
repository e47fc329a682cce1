"""What follows the end of an attempt."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from omni_mcp.decide.retry import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    LONGEST_LIMIT,
    SOONEST_LIMIT,
    Finish,
    HandOn,
    Next,
    Park,
    Reroute,
    after,
    attempts_of,
)
from omni_mcp.task import Completed, Failed, FailureClass, Outcome, Recovery, TaskState, WaitingFor
from omni_mcp.testing import a_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLOUD_RETRY = timedelta(seconds=7)


def following(outcome: Outcome, *, faults: int = 0, recovery: Recovery = Recovery.RETRY) -> Next:
    return after(outcome, faults=faults, max_attempts=3, recovery=recovery, now=NOW, cloud_retry=CLOUD_RETRY)


def failed(kind: FailureClass, **more: str) -> Failed:
    return Failed(kind=kind, message="it broke", **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("kind", "state", "waiting_for"),
    [
        (FailureClass.PROVIDER, None, WaitingFor.CLOUD),
        (FailureClass.RATE_LIMIT, None, WaitingFor.RESET),
        (FailureClass.BUDGET, None, WaitingFor.BUDGET),
        (FailureClass.AUTH, None, None),
        (FailureClass.CONFIG, None, None),
        (FailureClass.TASK, TaskState.FAILED, None),
        (FailureClass.DEADLINE, TaskState.FAILED, None),
        (FailureClass.DEPENDENCY, TaskState.FAILED, None),
        (FailureClass.CANCELLED, TaskState.CANCELLED, None),
        (FailureClass.INTERRUPTED, None, WaitingFor.RETRY),
        (FailureClass.UNKNOWN, None, WaitingFor.RETRY),
    ],
)
def test_the_table_of_failure_classes(
    kind: FailureClass, state: TaskState | None, waiting_for: WaitingFor | None
) -> None:
    end = following(failed(kind))
    assert (end.state if isinstance(end, Finish) else None) is state
    assert (end.waiting_for if isinstance(end, Park) else None) is waiting_for
    assert isinstance(end, Reroute) == (kind in (FailureClass.AUTH, FailureClass.CONFIG))
    nobodys = {
        FailureClass.PROVIDER,
        FailureClass.RATE_LIMIT,
        FailureClass.BUDGET,
        FailureClass.AUTH,
        FailureClass.CONFIG,
    }
    assert not (kind in nobodys and isinstance(end, Park) and end.fault)


@pytest.mark.parametrize("kind", list(FailureClass))
def test_every_failure_class_that_waits_for_time_says_until_when(kind: FailureClass) -> None:
    for recovery in Recovery:
        end = following(failed(kind), recovery=recovery)
        if isinstance(end, Park) and end.waiting_for not in (WaitingFor.CONSENT, WaitingFor.BUDGET):
            assert end.due_at is not None
            assert end.due_at > NOW


def test_a_task_may_lower_the_number_of_its_attempts_and_not_raise_it() -> None:
    assert [attempts_of(a_spec(options=options), 3) for options in ({}, {"max_attempts": 1}, {"max_attempts": 9})] == [
        3,
        1,
        3,
    ]


def test_a_good_end_completes_the_task() -> None:
    assert following(Completed(text="done")) == Finish(state=TaskState.COMPLETED, outcome=Completed(text="done"))


def test_a_fault_of_the_task_fails_it_at_once() -> None:
    end = following(failed(FailureClass.TASK))
    assert isinstance(end, Finish)
    assert end.state is TaskState.FAILED


def test_a_provider_that_fails_costs_nobody_an_attempt() -> None:
    end = following(failed(FailureClass.PROVIDER), faults=2)
    assert end == Park(waiting_for=WaitingFor.CLOUD, text="it broke", due_at=NOW + CLOUD_RETRY, fault=False)


def test_a_usage_limit_parks_until_its_reset_time() -> None:
    reset = NOW + timedelta(hours=3)
    end = following(Failed(kind=FailureClass.RATE_LIMIT, message="limit", retry_at=reset))
    assert end == Park(waiting_for=WaitingFor.RESET, text="limit", due_at=reset)


@pytest.mark.parametrize("kind", [FailureClass.AUTH, FailureClass.CONFIG])
def test_an_executor_that_cannot_work_loses_the_task_to_another(kind: FailureClass) -> None:
    assert following(failed(kind, fix="log in")) == Reroute(trouble="it broke. log in")


def test_faults_back_off_twice_as_long_each_time() -> None:
    spans: list[timedelta] = []
    for faults in (0, 1):
        end = following(failed(FailureClass.INTERRUPTED), faults=faults)
        assert isinstance(end, Park)
        assert end.due_at is not None
        assert end.fault
        spans.append(end.due_at - NOW)
    assert spans == [FIRST_BACKOFF, FIRST_BACKOFF * 2]


def test_the_last_fault_fails_the_task_with_the_story() -> None:
    end = following(failed(FailureClass.INTERRUPTED), faults=2)
    assert isinstance(end, Finish)
    assert isinstance(end.outcome, Failed)
    assert end.outcome.message == "gave up after 3 faults, the last: it broke"


@pytest.mark.parametrize("kind", [FailureClass.INTERRUPTED, FailureClass.UNKNOWN])
def test_what_may_have_happened_is_not_done_again_without_consent(kind: FailureClass) -> None:
    end = following(failed(kind), recovery=Recovery.ASK)
    assert isinstance(end, Park)
    assert end.waiting_for is WaitingFor.CONSENT


def test_a_resumable_run_that_was_cut_off_goes_on_but_an_unknown_end_asks() -> None:
    cut = following(failed(FailureClass.INTERRUPTED), recovery=Recovery.RESUME)
    unknown = following(failed(FailureClass.UNKNOWN), recovery=Recovery.RESUME)
    assert isinstance(cut, Park)
    assert isinstance(unknown, Park)
    assert (cut.waiting_for, unknown.waiting_for) == (WaitingFor.RETRY, WaitingFor.CONSENT)


def test_the_back_off_grows_no_further_than_an_hour_however_many_faults_there_were() -> None:
    end = after(
        failed(FailureClass.UNKNOWN),
        faults=98,
        max_attempts=100,
        recovery=Recovery.RETRY,
        now=NOW,
        cloud_retry=CLOUD_RETRY,
    )
    assert isinstance(end, Park)
    assert end.due_at == NOW + LONGEST_BACKOFF


@pytest.mark.parametrize("kind", list(FailureClass))
def test_every_failure_class_has_a_consequence(kind: FailureClass) -> None:
    assert isinstance(following(failed(kind)), Finish | Park | Reroute | HandOn)


def test_a_model_that_the_caller_pinned_and_nobody_knows_is_the_tasks_fault() -> None:
    end = after(
        failed(FailureClass.CONFIG),
        faults=0,
        max_attempts=3,
        recovery=Recovery.RETRY,
        now=NOW,
        cloud_retry=CLOUD_RETRY,
        pinned=True,
    )
    assert isinstance(end, Finish)
    assert end.state is TaskState.FAILED


@pytest.mark.parametrize(
    "said",
    [datetime(2000, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), datetime.max],  # noqa: DTZ901 - zoneless is the point
)
def test_a_reset_time_that_cannot_be_makes_neither_a_hot_loop_nor_an_endless_wait(said: datetime) -> None:
    end = following(Failed(kind=FailureClass.RATE_LIMIT, message="limit", retry_at=said))
    assert isinstance(end, Park)
    assert end.due_at is not None
    assert NOW + SOONEST_LIMIT <= end.due_at <= NOW + LONGEST_LIMIT
