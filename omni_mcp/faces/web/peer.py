"""Which process of this machine is at the other end of a request: a permission is given by a person, not by a run."""

import psutil
from starlette.requests import Request

from omni_mcp.processes import Origin, origin_of


def run_behind(request: Request) -> Origin | None:
    """Return the run that a request comes from inside of. Blocks.

    None where it comes from none, and where that cannot be seen (macOS shows connections to root alone): as with the
    command line, it keeps an agent from answering itself by mistake, not one that sets out to.
    """
    if request.client is None or request.scope.get("server") is None:
        return None
    here = request.scope["server"][1]
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    for each in connections:
        if each.laddr and each.raddr and (each.laddr.port, each.raddr.port) == (request.client.port, here):
            return None if each.pid is None else origin_of(each.pid)
    return None
