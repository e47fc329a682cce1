"""What the command line prints for people: `str` in their language, `Text` where it is somebody else's."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import category

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omni_mcp.decide.answering import choices, fields_of
from omni_mcp.decide.budgets import usd_text
from omni_mcp.decide.times import in_words
from omni_mcp.lang import say
from omni_mcp.lang.console import Folding, harmless
from omni_mcp.task import SHORT_ID, Mode, TaskState
from omni_mcp.views.attempts import AttemptView, StoryView
from omni_mcp.views.doctor import DoctorView, FindingView
from omni_mcp.views.engine import EngineView
from omni_mcp.views.executors import ExecutorView, RouteView
from omni_mcp.views.init import InitView, RewriteView
from omni_mcp.views.ledger import CheckView, CopyView, PurgeView
from omni_mcp.views.mode import ModeView, OutagesView
from omni_mcp.views.notify import NotifyView
from omni_mcp.views.question import QuestionView
from omni_mcp.views.result import ResultView
from omni_mcp.views.resume import ResumeView
from omni_mcp.views.task import ListView, TaskView

COLOURS = {
    TaskState.COMPLETED: "green",
    TaskState.FAILED: "red",
    TaskState.CANCELLED: "magenta",
    TaskState.WAITING: "yellow",
}
SEVERITIES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
SEVERITY = 7
"""Columns of a severity."""
UNSEEN = ("Cc", "Cf", "Co", "Zl", "Zp")
"""Unicode categories of what is not seen: control, format (also of direction), private, line and paragraph ends."""
LABEL = 13
"""Columns of a label, on its right the fact."""
WIDE = 100
"""Columns of a terminal that has room for every column of the tasks."""
COLUMNS = {
    "task": (True, True),
    "state": (True, True),
    "age": (True, True),
    "att.": (False, True),
    "requested": (False, False),
    "served by": (True, False),
    "progress": (True, False),
    "cost": (False, True),
    "description": (True, False),
}
"""The columns of the tasks: whether each is there in a narrow terminal, and whether it is never cut."""
CELL = 40
"""Columns of a longer text in a table."""


def age(then: datetime, now: datetime | None = None) -> str:
    """Return how long ago in one unit: `12 s`, `3 min`, `2 h`, `5 d`."""
    return in_words((now or datetime.now(UTC)) - then)


def local(when: datetime, now: datetime | None = None) -> str:
    """Return a time to the second as clocks show it here, with how far off it is."""
    at = f"{when.astimezone():%Y-%m-%d %H:%M:%S}"
    ahead = when - (now or datetime.now(UTC))
    return f"{at} (in {in_words(ahead)})" if ahead > timedelta(0) else f"{at} ({in_words(-ahead)} ago)"


def standing(task: TaskView) -> str:
    """Return the state in a word or two, with what it waits for."""
    return f"{task.state} ({task.waiting_for})" if task.waiting_for else str(task.state)


def print_task(out: Console, task: TaskView) -> None:
    """Print everything about one task, a line a fact."""
    facts: dict[str, str | None] = {
        "task": task.task_id,
        "state": f"{standing(task)}, for {age(task.since)}",
        "why": task.text,
        "due": local(task.due_at) if task.due_at else None,
        "deadline": local(task.deadline) if task.deadline else None,
        "source": task.source,
        "retry of": task.retry_of,
        "served by": _server(task),
        "because": task.reason,
        "attempt": str(task.attempt) if task.attempt else None,
        "last activity": f"{age(task.last_activity)} ago",
        "cost": cost_line(task),
        "engine": task.engine,
        "next": task.next_step,
    }
    for name, value in facts.items():
        if value is not None:
            _print_fact(out, name, say(value, task=task.task_id[:SHORT_ID]))
    if task.progress is not None:
        _print_fact(out, "progress", task.progress)
    for question in task.questions or []:
        print_question(out, question)
    for event in task.events or []:
        said = event.text if event.kind == "progress" else say(event.text, task=task.task_id[:SHORT_ID])
        _print_fact(out, str(event.seq), f"{event.at:%H:%M:%S} {event.kind}: {said}")
    if task.next_seq is not None:
        _print_fact(out, "more", f"--since {task.next_seq}")


def print_story(out: Console, task: StoryView) -> None:
    """Print everything about one task, and a line for each attempt."""
    print_task(out, task)
    for each in task.attempts:
        _print_fact(out, f"attempt {each.attempt}", attempt_line(each))


def attempt_line(attempt: AttemptView) -> str:
    """Return who made an attempt, with which model by which way, what that cost, and how it ended."""
    ended = attempt.ended_at or datetime.now(UTC)
    parts = (
        attempt.executor or say("nobody yet"),
        attempt.model,
        attempt.route or attempt.endpoint,
        attempt_cost(attempt),
        f"{attempt.began_at.astimezone():%H:%M:%S}, {in_words(ended - attempt.began_at)}",
        say(attempt.end or "runs"),
    )
    return " · ".join(part for part in parts if part)


def attempt_cost(attempt: AttemptView) -> str:
    """Return what an attempt cost in a few columns; a `?` stands for calls of unknown cost."""
    unknown = "+?" if attempt.cost_unknown_calls else ""
    return (money(attempt.cost_usd) + unknown) if attempt.cost_usd is not None else unknown.removeprefix("+")


def print_question(out: Console, question: QuestionView) -> None:
    """Print what an executor asks: between our own lines, and marked as its words, whatever they look like."""
    form = fields_of(question.form or {})
    about = {"permission": "asks for permission", "input": "asks you"}[question.kind]
    _print_fact(out, question.question_id, f"{say(about)} ({local(question.asked_at)})")
    for line in question.text.splitlines():
        out.print(_others(f"{' ' * LABEL}  │ {visible(line)}"))
    for name, field in form.items():
        allowed = f": {' | '.join(choices(field))}" if choices(field) else ""
        out.print(_others(f"{' ' * LABEL}  │ > {visible(name)}{visible(allowed)}"))


def visible(text: str) -> str:
    """Return a line of others without what hides or turns round what stands beside it."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(each) in UNSEEN else each for each in text)


def _print_fact(out: Console, name: str, value: str) -> None:
    label = say(name)
    out.print(_others(f"{' ' * (LABEL - cell_len(label))}{label}  {value}"))


def news(task: TaskView) -> str:
    """Return what there is to tell of a task: the words of its executor as they are, else ours."""
    return task.progress or say(task.text or "", task=task.task_id[:SHORT_ID])


def print_purged(out: Console, done: PurgeView) -> None:
    """Print what was removed, or would be."""
    verb = "would remove" if done.dry_run else "removed"
    when = f"{done.before:%Y-%m-%d %H:%M}"
    out.print(f"{verb} {done.tasks} tasks that were over before {when} UTC; kept: {done.kept}", markup=False)


def print_check(out: Console, found: CheckView) -> None:
    """Print how sound a ledger is."""
    for problem in found.problems:
        out.print(f"problem: {problem}", markup=False, highlight=False)
    how = f"{len(found.problems)} problems" if found.problems else "sound"
    out.print(f"{found.path}: {how}; {found.tasks} tasks, version {found.version}", markup=False, highlight=False)


def print_copy(out: Console, copy: CopyView) -> None:
    """Print what was copied to where."""
    out.print(f"{copy.path}: {copy.tasks} tasks. {copy.text}", markup=False, highlight=False)


def _server(task: TaskView) -> str | None:
    if task.served_by is None:
        return None
    asked = "" if task.requested in (None, task.served_by) else f" (instead of {task.requested})"
    return f"{task.served_by}{asked}, model {task.model or 'its own'}, endpoint {task.endpoint}"


def money(usd: float | None) -> str:
    """Return an amount of USD; unknown is not zero."""
    return "unknown" if usd is None else usd_text(usd)


def cost_line(task: TaskView) -> str | None:
    """Return what a task cost, of what budget, and what of that is not known; None: there is nothing to say."""
    if task.cost_usd is None and task.budget_usd is None and task.cost_unknown_calls is None:
        return None
    spent = money(task.cost_usd or 0.0)
    said = spent if task.budget_usd is None else f"{spent} of a budget of {money(task.budget_usd)}"
    if not task.cost_unknown_calls:
        return said
    return f"{said}; besides {task.cost_unknown_calls} calls of unknown cost"


def cost_cell(task: TaskView) -> str:
    """Return the same in a few columns: `$0.02+?/$0.50`."""
    spent = "" if task.cost_usd is None else money(task.cost_usd)
    unknown = "+?" if task.cost_unknown_calls and spent else "?" if task.cost_unknown_calls else ""
    return f"{spent}{unknown}" + (f"/{money(task.budget_usd)}" if task.budget_usd is not None else "")


def task_table(tasks: Sequence[TaskView], width: int) -> Table:
    """Return a line for each task; `width` in columns, of which a narrow terminal spends none on the lesser facts."""
    lesser = width >= WIDE
    table = Table(box=box.HEAVY_HEAD if lesser else box.SIMPLE, pad_edge=lesser)
    for name, (always, firm) in COLUMNS.items():
        if always or lesser:
            table.add_column(name, no_wrap=firm, overflow="ellipsis")
    for task in tasks:
        cells = zip(COLUMNS.values(), _cells(task), strict=True)
        table.add_row(*(cell for (always, _), cell in cells if always or lesser))
    return table


def _cells(task: TaskView) -> Sequence[str | Text]:
    return (
        task.task_id[:SHORT_ID],
        f"[{COLOURS.get(task.state, 'cyan')}]{standing(task)}",
        age(task.since),
        str(task.attempt),
        _cell(task.requested or ""),
        _cell(task.served_by or ""),
        _cell(news(task)),
        cost_cell(task),
        _cell(task.description),
    )


def _cell(text: str) -> Text:
    """Return one line as it is, with an ellipsis if it is longer than the columns of a cell."""
    line = _others(" ".join(text.split()))
    line.truncate(CELL, overflow="ellipsis")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def print_list(out: Console, page: ListView) -> None:
    """Print a page of tasks."""
    if not page.tasks:
        out.print('no tasks; omni-mcp submit "…" makes one')
        return
    out.print(task_table(page.tasks, out.width))
    if page.cursor:
        out.print(f"more: --cursor {page.cursor}", markup=False)


def print_result(out: Console, result: ResultView) -> None:
    """Print a result: into a file or a pipe as it is, at a terminal without what could move it."""
    said = say(result.text) if result.error else result.text
    if out.is_terminal:
        out.print(_others(said))
    else:
        out.file.write(f"{said}\n")
    if result.next_offset is not None:
        out.print(f"… {result.total_chars - result.next_offset} more characters: --offset {result.next_offset}")


def print_route(out: Console, route: RouteView) -> None:
    """Print where a text would go, in one line."""
    model = route.model or "the executor’s own"
    said = f"{route.executor or 'nobody'}  {route.reason}  (type {route.type or say('none')}, model {model})"
    out.print(said, markup=False, highlight=False)


def print_route_steps(out: Console, route: RouteView) -> None:
    """Print where a text would go, and how that was found, step by step."""
    print_route(out, route)
    for step in route.steps:
        out.print(f"  {step}", markup=False, highlight=False)


def print_executors(out: Console, executors: Sequence[ExecutorView]) -> None:
    """Print the executors as a table."""
    table = Folding("executor", "usable", "handles", "parallel", "recovery", "tools", "detail")
    for row in executors:
        table.add_row(
            _others(row.name),
            "[green]yes" if row.usable else "[red]no",
            Text(", ".join(row.handles)),
            str(row.parallel),
            Text(row.recovery),
            _others(", ".join(row.tools or [])),
            _others(" ".join(say(row.detail or "").split())),
        )
    out.print(table)


def print_mode(out: Console, mode: ModeView) -> None:
    """Print how the whole is."""
    out.print(mode_line(mode), markup=False, highlight=False)
    for name, said in (mode.evidence or {}).items():
        out.print(f"  {name}: {said}", markup=False, highlight=False)
    for change in mode.history or []:
        out.print(f"  {change}", markup=False, highlight=False)
    if mode.next_probe_at is not None:
        out.print(f"next probe: {local(mode.next_probe_at)}", highlight=False)
    out.print(f"repair: {mode.repair}", markup=False, highlight=False)
    out.print(f"waiting for: {_counted(mode.held or {}) or 'nothing'}", markup=False, highlight=False)
    for waits, ids in (mode.held_ids or {}).items():
        out.print(_others(f"  {say(waits)}: {_first(ids, (mode.held or {}).get(waits, 0))}"))
    out.print(f"engine: {mode.engine}", markup=False, highlight=False)
    out.print(f"settings: {mode.settings}", markup=False, highlight=False)
    out.print(f"open tasks: {_counted(mode.open_tasks) or 'none'}", markup=False, highlight=False)
    for name, said in mode.executors.items():
        out.print(f"executor {name}: {said}", markup=False, highlight=False)
    print_told_by(out, mode.told_by or {})
    for problem in mode.problems or []:
        out.print(f"problem: {problem}", markup=False, highlight=False)


def _first(ids: Sequence[str], total: int) -> str:
    more = ", …" if total > len(ids) else ""
    return ", ".join(task_id[:SHORT_ID] for task_id in ids) + more


def print_outages(out: Console, outages: OutagesView) -> None:
    """Print when the mode changed, how long each held, and why."""
    for change, held in zip(outages.changes, lasted(outages), strict=True):
        line = f"{local(change.at)}  {change.was} → {change.mode}, for {in_words(held)}: {change.cause}"
        out.print(line, markup=False, highlight=False)
    if not outages.changes:
        out.print("the mode has never changed: nothing was out")
    elif outages.older:
        out.print(f"there are older ones: --limit {len(outages.changes) * 10}", highlight=False)


def lasted(outages: OutagesView) -> Sequence[timedelta]:
    """Return how long each mode held that was changed to."""
    ends = [outages.now, *(change.at for change in outages.changes)]
    return [max(end - change.at, timedelta()) for change, end in zip(outages.changes, ends, strict=False)]


def mode_facts(mode: ModeView) -> Sequence[str]:
    """Return what else there is to know while the mode is not normal: what is held, when it is looked at again."""
    if mode.mode is Mode.NORMAL:
        return []
    waits = f"waiting for: {_counted(mode.held or {}) or say('nothing')}"
    return [waits] if mode.next_probe_at is None else [waits, f"next probe: {local(mode.next_probe_at)}"]


def print_told_by(out: Console, told_by: Mapping[str, str]) -> None:
    """Print who is told of changes, and how that went last."""
    for channel, text in told_by.items():
        out.print(f"told by {channel}: {text}", markup=False, highlight=False)


def print_notify(out: Console, notify: NotifyView) -> None:
    """Print what became of a test notice in each channel, and who is told."""
    for channel in notify.tested or []:
        style = SEVERITIES["ok" if channel.told else "error"]
        out.print(f"{channel.channel}: {channel.text}", style=style, markup=False, highlight=False)
    if notify.tested == []:
        out.print("nothing was tested: there is no desktop here, no webhook and no URL of apprise")
    print_told_by(out, notify.told_by)
    for channel, said in (notify.given_up or {}).items():
        out.print(f"{channel}, given up: {said}", style=SEVERITIES["warning"], markup=False, highlight=False)
    if notify.given_up:
        out.print("once more: omni-mcp notify --again")
    if notify.sent_again is not None:
        out.print(f"{notify.sent_again} notices are sent once more", highlight=False)


def mode_line(mode: ModeView) -> str:
    """Return the mode in one line."""
    by_hand = f", by hand until {mode.override.until:%H:%M} UTC" if mode.override else ""
    return f"mode {mode.mode} for {age(mode.since)}{by_hand}: {mode.cause}. {mode.text}"


def _counted(tasks: Mapping[str, int]) -> str:
    return ", ".join(f"{say(state)} {count}" for state, count in tasks.items())


def print_resumed(out: Console, done: ResumeView) -> None:
    """Print what became of each waiting task."""
    for task in done.tasks:
        task_id = task.task_id[:SHORT_ID]
        out.print(_others(f"{task_id}  {say(task.action)}  {say(task.text, task=task_id)}"))
    if not done.tasks:
        out.print("nothing waits")
        return
    if len(done.tasks) < sum(done.counts.values()):
        out.print(f"in all: {_counted(done.counts)}", markup=False, highlight=False)
    if done.engine:
        out.print(f"engine: {done.engine}", markup=False, highlight=False)
    out.print(f"next: {done.next_step}", markup=False, highlight=False)


def print_engine(out: Console, engine: EngineView) -> None:
    """Print whether an engine runs."""
    told = f"engine runs, pid {engine.pid}" if engine.running else "no engine runs; the next submit starts one"
    facts = f"{told}\nhome {engine.home}\nsettings {engine.settings}\nlog {engine.log}"
    out.print(facts, markup=False, highlight=False)
    if engine.note:
        out.print(f"note: {engine.note}", style="yellow", markup=False, highlight=False)


def print_init(out: Console, init: InitView) -> None:
    """Print what was found, the file, what was rewritten, and what to do next."""
    for line in _found(init.found):
        out.print(line, markup=False, highlight=False)
    out.print(f"\n{init.text}", markup=False, highlight=False)
    if init.rewrites:
        out.print(rewrite_table(init.rewrites))
    for problem in init.problems or []:
        out.print(f"problem: {problem}", style="yellow", markup=False, highlight=False)
    out.print(f"{'wrote' if init.written else 'not written:'} {init.file}", markup=False, highlight=False)
    if init.backup:
        out.print(f"what was there is in {init.backup}", markup=False, highlight=False)
    for step in init.next_steps:
        out.print(f"next: {step}", markup=False, highlight=False)


def _found(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that init found."""
    for program in found["programs"]:
        yield f"found {program['name']} {program['version'] or '(says no version)'}: {program['path']}"
    if proxy := found["proxy"]:
        models = ", ".join(proxy["models"]) or "does not tell its models"
        yield f"found LiteLLM at {proxy['base_url']}: {models if proxy['answers'] else 'does not answer'}"
    if found["openclaw"]:
        yield f"found something at {found['openclaw']}, where OpenClaw listens: docs/openclaw.md has its row"
    if found["keys"]:
        yield f"found the variables {', '.join(found['keys'])}"
    for project in found["projects"]:
        yield f"found the compose project {project['name']}: {project['files']}"
    if restart := found["restart"]:
        yield f"found what could start LiteLLM again: {restart['command']}"
    if not any(found.values()):
        yield "found no agent, no LiteLLM and no key"


def rewrite_table(rewrites: Sequence[RewriteView]) -> Table:
    """Return what was rewritten as a table."""
    table = Folding("in the file", "becomes", "because")
    for each in rewrites:
        table.add_row(*map(_others, (say(each.where or "the whole"), say(each.what), say(each.why))))
    return table


def print_doctor(out: Console, report: DoctorView) -> None:
    """Print what was mended, what was found, and how much of what."""
    for fix in report.mended or []:
        told = f": {fix.text}" if fix.text else ""
        out.print(_others(f"{say('ran' if fix.done else 'FAILED')}  {fix.fix}{told}"))
    for finding in report.findings:
        _print_finding(out, finding)
    found = [finding.severity for finding in report.findings]
    out.print(Text(", ".join(f"{found.count(word)} {say(word)}" for word in SEVERITIES)))
    if any(finding.safe for finding in report.findings):
        out.print("omni-mcp doctor --fix runs the fixes that are safe", highlight=False)


def _print_finding(out: Console, finding: FindingView) -> None:
    about = f"{finding.about}: " if finding.about else ""
    severity = _in_column(say(finding.severity), style=SEVERITIES[finding.severity])
    out.print(severity + _others(f"  {finding.code}  {about}{say(finding.text)}"))
    if finding.fix:
        needs = f"   ({say('needs')} {say(finding.needs)})" if finding.needs else ""
        out.print(_in_column(say("fix")) + _others(f"  {finding.fix}{needs}"))


def _in_column(word: str, style: str = "") -> Text:
    return Text(" " * (SEVERITY - cell_len(word)) + word, style=style)


def _others(text: str) -> Text:
    """Return what is said as it is, without what could move a terminal."""
    return Text(harmless(text))
