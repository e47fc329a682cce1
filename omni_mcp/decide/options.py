"""What a caller may say in `options`: it lowers what is configured, and nothing unknown is taken for kept. Pure."""

from collections.abc import Mapping
from typing import Any, TypeGuard, get_args

from omni_mcp.decide.retry import MAX_ATTEMPTS
from omni_mcp.errors import BadRequest
from omni_mcp.servers_file.executors import GATEWAYS, ExecutorRow, Permissions

PERMISSIONS, WORKTREE, MAX_TURNS, TIMEOUT, MEMORY = "permissions", "worktree", "max_turns", "timeout", "memory"
MACHINE = "machine"
PROFILES = get_args(Permissions)
"""The least first."""
NAMES = (PERMISSIONS, WORKTREE, MAX_TURNS, TIMEOUT, MAX_ATTEMPTS, MEMORY, MACHINE)
ENGINES = frozenset({TIMEOUT, MAX_ATTEMPTS, MEMORY, MACHINE})
"""Kept by the engine itself, for every executor."""
KNOWN = (
    f'{{"{PERMISSIONS}": "{"|".join(PROFILES)}", "{WORKTREE}": true, '
    f'"{MAX_TURNS}": n, "{TIMEOUT}": seconds, "{MAX_ATTEMPTS}": n, "{MEMORY}": false}}'
)


def check_options(options: Mapping[str, Any], *, max_attempts: int) -> None:
    """Refuse what no executor would keep. Raises BadRequest."""
    if unknown := [name for name in options if name not in NAMES]:
        raise BadRequest(
            f"unknown options: {', '.join(map(repr, unknown))[:200]}; known are {', '.join(NAMES)}",
            next_step=f"call submit_task with options such as {KNOWN}",
        )
    if (asked := options.get(PERMISSIONS, PROFILES[0])) not in PROFILES:
        raise BadRequest(
            f"options.permissions {asked!r:.200} is none of {', '.join(PROFILES)}",
            next_step=f"call submit_task with options such as {KNOWN}",
        )
    _check_attempts(options.get(MAX_ATTEMPTS), max_attempts)
    _check_values(options)


def refusal(options: Mapping[str, Any], row: ExecutorRow) -> str | None:
    """Say which of the options an executor would not keep, or that its row allows less; None: it keeps all."""
    if (flaw := _exceeded(options, row)) is not None:
        return flaw
    kept = _kept_by(row)
    if lost := [name for name in options if kept is not None and name not in kept and _limits(name, options[name])]:
        return f"cannot keep options.{lost[0]}"
    return None


def handed_on(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are up to the executor."""
    return {name: value for name, value in options.items() if name not in ENGINES}


def timeout_of(options: Mapping[str, Any], limit: float) -> float:
    """Return the seconds that an attempt may take: those of the row, or fewer if the caller wanted that."""
    asked = options.get(TIMEOUT)
    return limit if asked is None else min(limit, float(asked))


def remembers(options: Mapping[str, Any]) -> bool:
    """Whether a task is told what earlier ones left, and leaves something itself."""
    return options.get(MEMORY, True) is True


def _check_attempts(asked: object, limit: int) -> None:
    if asked is None or (_is_whole(asked) and asked <= limit):
        return
    raise BadRequest(
        f"options.max_attempts {asked!r} is not a whole number in 1..{limit}; a task can only lower the limit",
        next_step="call submit_task with one that is, or without it",
    )


def _check_values(options: Mapping[str, Any]) -> None:
    for name in (WORKTREE, MEMORY):
        if (asked := options.get(name)) is not None and not isinstance(asked, bool):
            raise _wrong(name, asked, "true or false")
    if (machine := options.get(MACHINE)) is not None and (not isinstance(machine, str) or not machine):
        raise _wrong(MACHINE, machine, "the label of a machine")
    turns, timeout = options.get(MAX_TURNS), options.get(TIMEOUT)
    if turns is not None and not _is_whole(turns):
        raise _wrong(MAX_TURNS, turns, "a whole number from 1")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 1):
        raise _wrong(TIMEOUT, timeout, "a number of seconds from 1")


def _wrong(name: str, asked: object, wanted: str) -> BadRequest:
    return BadRequest(
        f"options.{name} {asked!r:.200} is not {wanted}",
        next_step=f"call submit_task with options such as {KNOWN}",
    )


def _is_whole(asked: object) -> TypeGuard[int]:
    return isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1


def _exceeded(options: Mapping[str, Any], row: ExecutorRow) -> str | None:
    """Say what asks for more than the row allows."""
    if options.get(TIMEOUT, 0) > row.timeout:
        return f"allows options.timeout up to {row.timeout:g}, not {options[TIMEOUT]:g}"
    if row.preset != "claude-code":
        return None
    if PROFILES.index(asked := options.get(PERMISSIONS, PROFILES[0])) > PROFILES.index(row.permissions):
        return f"allows options.permissions up to {row.permissions}, not {asked}"
    if row.worktree and options.get(WORKTREE) is False:
        return "always works in a worktree, so it does not allow options.worktree false"
    if row.max_turns is not None and options.get(MAX_TURNS, 0) > row.max_turns:
        return f"allows options.max_turns up to {row.max_turns}, not {options[MAX_TURNS]}"
    return None


def _kept_by(row: ExecutorRow) -> frozenset[str] | None:
    """Return the options that an executor keeps; None: it is an adapter that refuses itself what it cannot keep."""
    if row.preset == "assistant":  # it has no tools, and answers in one turn
        return ENGINES | {PERMISSIONS, MAX_TURNS}
    elsewhere = row.preset in GATEWAYS  # a gateway's agents have permissions of their own
    return ENGINES if elsewhere or (row.preset is None and row.tool is not None) else None


def _limits(name: str, asked: object) -> bool:
    """Whether an option asks for anything: full permissions and no worktree are what everybody gives."""
    return asked != PROFILES[-1] if name == PERMISSIONS else asked is not False
