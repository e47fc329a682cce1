"""What the command line prints of the ledger as a file."""

from rich.console import Console

from omni_mcp.views.ledger import CheckView, CopyView, PurgeView


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
