"""The invariants, asserted from the ledger and from what the executors themselves wrote down."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chaos.stubs.work import Work
from chaos.world import NOBODY, World

Finding = str
Line = Mapping[str, Any]


def lost(world: World) -> Iterator[Finding]:
    """Acknowledged tasks that are not in the ledger, or did not come to an end."""
    states = {row["id"]: row["state"] for row in world.rows("select id, state from tasks")}
    for key, task in world.acked.items():
        if states.get(task) not in ("completed", "cancelled"):
            yield f"{key}: {task} is {states.get(task, 'not there')}"


def too_many(world: World) -> Iterator[Finding]:
    """Tasks that nobody was told of: a repeated submit made a second one."""
    told = set(world.acked.values())
    yield from (row["id"] for row in world.rows("select id from tasks") if row["id"] not in told)


def two_live_runs(world: World) -> Iterator[Finding]:
    """Runs that began while another one of the same task was still at it."""
    yield from (str(line) for line in world.journal if line["kind"] == "overlap")


def second_dispatches(world: World) -> Iterator[Finding]:
    """Runs beyond the first that nobody had consented to (`ask`), or that were begun anew elsewhere (`attach`)."""
    starts = _per_task(world.journal, "start")
    consents = Counter(task for task, _attempt in world.consents)
    for task, kind in world.kinds.items():
        allowed = 1 + consents[task]
        if kind == "once" and len(starts[task]) > allowed:
            yield f"{task}: {len(starts[task])} runs, {allowed} allowed"
    for task, begun in _per_task(world.journal, "begun").items():
        if len(begun) > 1:
            yield f"{task}: begun {len(begun)} times at the gateway"


def duplicate_outcomes(world: World) -> Iterator[Finding]:
    """Tasks that ended more than once, or whose result is not that of their work."""
    ended = Counter(
        row["id"]
        for row in world.rows(
            "select t.id from events e join tasks t on t.n = e.task where e.kind = 'state'"
            " and (e.text like '% → completed%' or e.text like '% → failed%' or e.text like '% → cancelled%')"
        )
    )
    yield from (f"{task}: ended {times} times" for task, times in ended.items() if times != 1)
    for row in world.rows(
        "select t.id, r.text from tasks t join results r on r.task = t.n where t.state = 'completed'"
    ):
        if row["text"] != f"done {row['id']}":
            yield f"{row['id']}: {row['text']!r}"


def steps_twice(world: World) -> Iterator[Finding]:
    """Finished steps that a resumed or attached session did again, or left out."""
    done = _per_task(world.journal, "step")
    for row in world.rows(
        "select t.id, t.state, p.description from tasks t join payloads p on p.task = t.n"
        " where t.executor in ('session', 'attach')"
    ):
        steps = sorted(line["step"] for line in done[row["id"]])
        if len(steps) != len(set(steps)):
            yield f"{row['id']}: {steps}"
        if row["state"] == "completed" and set(steps) != set(range(Work.read(row["description"]).steps)):
            yield f"{row['id']}: only {steps}"


def without_reason(world: World) -> Iterator[Finding]:
    """Tasks that were seen in a state that nobody could explain, then or at the end."""
    yield from world.unreasoned
    yield from unexplained(world)


def unexplained(world: World) -> Sequence[Finding]:
    """Return the tasks that are now in a state without its reason."""
    rows = world.rows(
        "select id, state, waiting_for from tasks where (state in ('waiting', 'failed', 'cancelled') and text is null)"
        " or (state in ('dispatching', 'executing') and (owner is null or lease_until is null))"
        " or (state = 'executing' and (served_by is null or run_id is null))"
    )
    return [f"{row['id']}: {row['state']} {row['waiting_for'] or ''}" for row in rows]


def gaps(world: World) -> Iterator[Finding]:
    """Histories whose numbers are not 1, 2, 3, …"""
    for row in world.rows("select task, min(seq) a, max(seq) b, count(*) c from events group by task"):
        if (row["a"], row["b"]) != (1, row["c"]):
            yield f"task {row['task']}: {row['a']}..{row['b']}, {row['c']} lines"
    yield from (
        f"task {row['n']} has no history"
        for row in world.rows("select n from tasks where n not in (select task from events)")
    )


def damage(world: World) -> Iterator[Finding]:
    """What SQLite itself finds wrong with the file."""
    yield from (row[0] for row in world.rows("pragma integrity_check") if row[0] != "ok")
    yield from (str(tuple(row)) for row in world.rows("pragma foreign_key_check"))


def surprises(world: World) -> Iterator[Finding]:
    """What the engine stumbled over, and what a class of executors could never have run."""
    yield from (
        line
        for line in world.log.splitlines()
        if any(sign in line for sign in ("Traceback", "attempt broke", "cannot be written"))
    )
    ran = {line["task"] for line in world.journal if line["kind"] == "start"}
    yield from (task for task, kind in world.kinds.items() if kind in NOBODY and task in ran)


INVARIANTS: Mapping[str, Callable[[World], Iterator[Finding]]] = {
    "acknowledged tasks lost": lost,
    "tasks that nobody was told of": too_many,
    "two live runs of one task": two_live_runs,
    "second dispatches without proof or consent": second_dispatches,
    "duplicate or false outcomes": duplicate_outcomes,
    "finished steps done twice or left out": steps_twice,
    "tasks in a state without a reason": without_reason,
    "histories with gaps": gaps,
    "damage found by integrity_check": damage,
    "surprises in the engine's log": surprises,
}


def _per_task(journal: Sequence[Line], kind: str) -> Mapping[str, list[Line]]:
    found: defaultdict[str, list[Line]] = defaultdict(list)
    for line in journal:
        if line["kind"] == kind:
            found[line["task"]].append(line)
    return found
