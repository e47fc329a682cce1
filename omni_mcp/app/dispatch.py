"""How faces and engines of a home ring at each other."""

from omni_mcp.dispatch.base import Dispatch
from omni_mcp.dispatch.choose import open_dispatch
from omni_mcp.home import Home
from omni_mcp.settings import known_variables
from omni_mcp.this_machine import label


def dispatch_of(home: Home) -> Dispatch:
    """Return how faces and engines of a home ring at each other. Raises SettingsError."""
    known = known_variables(home)
    return open_dispatch(known.get("OMNI_DISPATCH"), machine=label(known))
