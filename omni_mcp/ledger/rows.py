"""Between rows of a database and the words of the house."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from omni_mcp.ledger.base import Delivery, EngineMark, ExecutorHealth, ModeChange, ModeMark, Notice, ResultPage
from omni_mcp.ledger.store import Row, Values
from omni_mcp.task import Attempt, Event, FailureClass, Mode, Task, TaskSpec, TaskState, WaitingFor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TITLE = 200
"""Characters of a description that a short row carries."""


def stamp(at: datetime) -> int:
    """Return microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    """Return the aware time of a stamp; one beyond the years that there are is the last moment of them."""
    try:
        return EPOCH + at * MICROSECOND
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def maybe_stamp(at: datetime | None) -> int | None:
    """Return the stamp of a time, if there is one."""
    return None if at is None else stamp(at)


def maybe_moment(at: int | None) -> datetime | None:
    """Return the aware time of a stamp, if there is one."""
    return None if at is None else moment(at)


def to_json(value: Any) -> str:
    """Write a value as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)


def maybe_json(value: Mapping[str, Any]) -> str | None:
    """Write a mapping as JSON, an empty one as nothing."""
    return to_json(value) if value else None


def from_json(text: str | None) -> Any:
    """Read a value."""
    return None if text is None else json.loads(text)


def plain(text: str) -> str:
    """Return text that UTF-8 can carry: a lone surrogate (JSON may bring one) becomes a question mark."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def fingerprint(spec: TaskSpec) -> bytes:
    """Return what two submits with one key must share: all that the caller said."""
    said: list[Any] = [spec.description, spec.type, spec.executor, spec.model, spec.cwd, spec.priority]
    said += [dict(spec.options), *_said_later(spec)]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode(errors="surrogatepass")).digest()


def _said_later(spec: TaskSpec) -> list[Any]:
    """Return what tasks of older ledgers did not have, only if it was said: their fingerprints stay what they were."""
    return [said for said in (spec.deadline_said, sorted(spec.after), spec.budget_usd) if said]


def as_dict(row: Row) -> Mapping[str, Any]:
    """Return a row by name; one of SQLite looks each name up by walking through all of them."""
    if isinstance(row, dict):
        return cast("Mapping[str, Any]", row)
    return dict(zip(row.keys(), cast("Any", row), strict=True))


_NOT_YET = (
    *("due_at", "owner", "lease_until", "served_by", "endpoint", "run_id", "progress", "progress_at"),
    *("cancel_requested_at", "snapshot", "cost_usd"),
)
"""What a task does not have when it is new; of the numbers it has none."""
_NEW: Mapping[str, Any] = {
    **dict.fromkeys(_NOT_YET),
    **dict.fromkeys(("attempt", "faults", "consented", "cost_unknown_calls"), 0),
}


def new_row(written: Values, n: int) -> Row:
    """Return the joined row of a task that was just written, so that it has not to be read back."""
    times = dict.fromkeys(("since", "created_at", "updated_at"), written["now"])
    return {**written, **_NEW, **times, "n": n, "asked_model": written["model"], "model": None}


def a_task(found: Row) -> Task:
    """Return the task of a joined row (short rows carry a cut description and no payload)."""
    row = as_dict(found)
    return Task(
        id=row["id"],
        spec=TaskSpec(
            description=row["description"],
            type=row["type"],
            executor=row["executor"],
            model=row["asked_model"],
            cwd=row["cwd"],
            priority=row["priority"],
            deadline=maybe_moment(row["deadline"]),
            ancestors=tuple(from_json(row["ancestors"]) or ()),
            retry_of=row["retry_of"],
            trace=row["trace"],
            budget_usd=row["budget_usd"],
            options=from_json(row["options"]) or {},
            principal=row["principal"],
        ),
        state=TaskState(row["state"]),
        since=moment(row["since"]),
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        waiting_for=None if row["waiting_for"] is None else WaitingFor(row["waiting_for"]),
        due_at=maybe_moment(row["due_at"]),
        text=row["text"],
        attempt=row["attempt"],
        faults=row["faults"],
        owner=row["owner"],
        lease_until=maybe_moment(row["lease_until"]),
        requested=row["requested"],
        served_by=row["served_by"],
        model=row["model"],
        endpoint=row["endpoint"],
        run_id=row["run_id"],
        reason=row["reason"],
        progress=row["progress"],
        progress_at=maybe_moment(row["progress_at"]),
        cancel_requested_at=maybe_moment(row["cancel_requested_at"]),
        consented=bool(row["consented"]),
        snapshot=from_json(row["snapshot"]),
        cost_usd=row["cost_usd"],
        cost_unknown_calls=row["cost_unknown_calls"],
    )


def an_event(row: Row) -> Event:
    """Return one line of history."""
    return Event(
        seq=row["seq"],
        at=moment(row["at"]),
        attempt=row["attempt"],
        kind=row["kind"],
        text=row["text"],
        data=from_json(row["data"]),
    )


def an_attempt(row: Row) -> Attempt:
    """Return one try at a task."""
    return Attempt(
        number=row["number"],
        executor=row["executor"],
        model=row["model"],
        endpoint=row["endpoint"],
        run_id=row["run_id"],
        began_at=moment(row["began_at"]),
        bound_at=maybe_moment(row["bound_at"]),
        ended_at=maybe_moment(row["ended_at"]),
        end=row["end"],
        route=row["route"],
        cost_usd=row["cost_usd"],
        cost_unknown_calls=row["cost_unknown_calls"],
    )


def a_result_page(row: Row) -> ResultPage:
    """Return a page of the stored end of a task."""
    parts = ("structured", "notes")
    large = {part: row[f"{part}_chars"] for part in parts if row[part] is None and row[f"{part}_chars"]}
    return ResultPage(
        text=row["text"] or "",
        total_chars=row["total_chars"] or 0,
        structured=from_json(row["structured"]),
        notes=from_json(row["notes"]),
        left_out=large,
        error=None if row["error"] is None else FailureClass(row["error"]),
    )


def an_engine(row: Row) -> EngineMark:
    """Return what an engine announced."""
    return EngineMark(
        owner=row["owner"],
        pid=row["pid"],
        version=row["version"],
        log=row["log"],
        address=row["address"],
        started_at=moment(row["started_at"]),
        settings=row["settings"],
        gone_at=maybe_moment(row["gone_at"]),
        dismissed_at=maybe_moment(row["dismissed_at"]),
    )


def a_health(row: Row) -> ExecutorHealth:
    """Return how an executor was last seen."""
    return ExecutorHealth(
        name=row["name"], usable=bool(row["usable"]), detail=row["detail"], seen_at=moment(row["seen_at"])
    )


def a_mode(row: Row) -> ModeMark:
    """Return the mode of the home."""
    return ModeMark(
        mode=Mode(row["mode"]),
        state=row["state"],
        prober=row["prober"],
        leads_until=maybe_moment(row["lease_until"]),
        forced=None if row["forced_mode"] is None else Mode(row["forced_mode"]),
        forced_at=maybe_moment(row["forced_at"]),
        forced_until=maybe_moment(row["forced_until"]),
    )


def a_change(row: Row) -> ModeChange:
    """Return one line of the history of modes."""
    return ModeChange(at=moment(row["at"]), was=Mode(row["was"]), mode=Mode(row["mode"]), cause=row["cause"])


def a_notice(row: Row) -> Notice:
    """Return what people are to be told."""
    return _notice(row, row["n"])


def _notice(row: Row, number: int) -> Notice:
    data: Mapping[str, Any] | None = from_json(row["data"])
    return Notice(number=number, at=moment(row["at"]), kind=row["kind"], text=row["text"], data=data or {})


def a_delivery(row: Row) -> Delivery:
    """Return a notice on its way through a channel."""
    return Delivery(
        number=row["n"],
        notice=_notice(row, row["notice"]),
        channel=row["channel"],
        id=row["id"],
        tries=row["tries"],
        due_at=moment(row["due_at"]),
        told_at=maybe_moment(row["told_at"]),
        given_up_at=maybe_moment(row["given_up_at"]),
        trouble=row["trouble"],
    )
