"""What an executor's process sees of our environment: in one place, so that what is told of it is what is so."""

from collections.abc import Mapping

from omni_mcp.presets import ExecutorSpec
from omni_mcp.processes import SESSION_MARK, child_environment


def surroundings(spec: ExecutorSpec, *, owner: str, mark: str) -> Mapping[str, str]:
    """Return the environment of the child that serves an executor; `mark` marks all processes of the session."""
    given = {name: value.get_secret_value() for name, value in spec.env.items()}
    return child_environment({**spec.row.env, **given, SESSION_MARK: mark}, owner=owner)
