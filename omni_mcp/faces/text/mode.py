"""What the command line prints of the mode."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console

from omni_mcp.decide.times import in_words
from omni_mcp.faces.text.notify import print_told_by
from omni_mcp.faces.text.words import age, as_it_is, counted, local
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID, Mode
from omni_mcp.views.mode import ModeView, OutagesView


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
    out.print(f"waiting for: {counted(mode.held or {}) or 'nothing'}", markup=False, highlight=False)
    for waits, ids in (mode.held_ids or {}).items():
        out.print(as_it_is(f"  {say(waits)}: {_first(ids, (mode.held or {}).get(waits, 0))}"))
    out.print(f"engine: {mode.engine}", markup=False, highlight=False)
    out.print(f"settings: {mode.settings}", markup=False, highlight=False)
    out.print(f"open tasks: {counted(mode.open_tasks) or 'none'}", markup=False, highlight=False)
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
    waits = f"waiting for: {counted(mode.held or {}) or say('nothing')}"
    return [waits] if mode.next_probe_at is None else [waits, f"next probe: {local(mode.next_probe_at)}"]


def mode_line(mode: ModeView) -> str:
    """Return the mode in one line."""
    by_hand = f", by hand until {mode.override.until:%H:%M} UTC" if mode.override else ""
    return f"mode {mode.mode} for {age(mode.since)}{by_hand}: {mode.cause}. {mode.text}"
