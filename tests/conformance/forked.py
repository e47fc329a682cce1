"""A server that is killed again and again: forked from a process that has imported all it needs, so it is back at once.

The suite gives up on a request after 10 s, and on a busy machine the imports alone take longer. Each child begins
with nothing but the home on disk. Its pid is a line on stdout.
"""

import os
from collections.abc import Callable
from importlib import import_module

NEEDED = ("uvicorn", "fastmcp.server.http")
"""What FastMCP imports when it begins to serve."""


def again_and_again(serve: Callable[[], None]) -> None:
    """Serve in a child, and in another one when it was killed, for ever."""
    for name in NEEDED:
        import_module(name)
    while True:
        pid = os.fork()
        if pid == 0:
            serve()
            return
        os.write(1, f"{pid}\n".encode())
        os.waitpid(pid, 0)
