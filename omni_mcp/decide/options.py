"""What a caller may say in `options`: it lowers what is configured, and nothing unknown is taken for kept. Pure."""

from collections.abc import Mapping
from typing import Any, get_args

from omni_mcp.decide.retry import MAX_ATTEMPTS
from omni_mcp.errors import BadRequest
from omni_mcp.servers_file import Permissions

PERMISSIONS = "permissions"
PROFILES = get_args(Permissions)
KNOWN = f'{{"{PERMISSIONS}": "{"|".join(PROFILES)}", "{MAX_ATTEMPTS}": n}}'


def check_options(options: Mapping[str, Any], *, max_attempts: int) -> None:
    """Refuse what no executor would keep. Raises BadRequest."""
    if unknown := [name for name in options if name not in (PERMISSIONS, MAX_ATTEMPTS)]:
        raise BadRequest(
            f"unknown options: {', '.join(map(repr, unknown))[:200]}; known are {PERMISSIONS} and {MAX_ATTEMPTS}",
            next_step=f"call submit_task with options such as {KNOWN}",
        )
    if (asked := options.get(PERMISSIONS, PROFILES[0])) not in PROFILES:
        raise BadRequest(
            f"options.permissions {asked!r:.200} is none of {', '.join(PROFILES)}",
            next_step=f"call submit_task with options such as {KNOWN}",
        )
    _check_attempts(options.get(MAX_ATTEMPTS), max_attempts)


def _check_attempts(asked: object, limit: int) -> None:
    if asked is None or (isinstance(asked, int) and not isinstance(asked, bool) and 1 <= asked <= limit):
        return
    raise BadRequest(
        f"options.max_attempts {asked!r} is not a whole number in 1..{limit}; a task can only lower the limit",
        next_step="call submit_task with one that is, or without it",
    )
