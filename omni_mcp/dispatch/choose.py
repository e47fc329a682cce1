"""Which dispatch the environment names: datagrams on this machine, or docket where several share the work."""

from urllib.parse import urlsplit

from omni_mcp.dispatch.base import Dispatch
from omni_mcp.dispatch.local import LocalDispatch
from omni_mcp.errors import SettingsError

VARIABLE = "OMNI_DISPATCH"
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
"""What docket opens, but for its experimental memory of one process."""


def open_dispatch(url: str | None, *, machine: str) -> Dispatch:
    """Return how nudges travel by what `OMNI_DISPATCH` says, if it does. Raises SettingsError."""
    if not url:
        return LocalDispatch()
    if _scheme(url) not in SCHEMES:
        raise SettingsError(
            f"{VARIABLE} is no URL of a Redis or Valkey",
            next_step=f"write it as redis://HOST:6379/0 (or rediss://), or unset {VARIABLE} for one machine",
        )
    try:
        from omni_mcp.dispatch.docket import DocketDispatch
    except ImportError as error:
        raise SettingsError(
            f"{VARIABLE} is set, but docket is not installed ({error})",
            next_step=f"pip install 'omni-mcp[cluster]', or unset {VARIABLE} for one machine",
        ) from error
    return DocketDispatch(url, machine=machine)


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    return parts.scheme
