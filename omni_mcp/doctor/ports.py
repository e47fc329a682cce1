"""Ports of this machine that we may want: `serve` listens on one, and says so when somebody else has it."""

import socket
from collections.abc import Iterator

from omni_mcp.doctor.finding import Finding, note, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import ours
from omni_mcp.home import SERVE_PORT

NEXT = 20
"""Ports after the usual one in which a free one is looked for."""


def serving(scene: Scene) -> Iterator[Finding]:
    """Say whether `omni-mcp serve` could listen on its port. Perhaps it already does."""
    if _is_free(SERVE_PORT):
        yield ok("port", f"port {SERVE_PORT} is free for omni-mcp serve")
        return
    free = next((port for port in range(SERVE_PORT + 1, SERVE_PORT + NEXT) if _is_free(port)), 0)
    text = (
        f"something listens on port {SERVE_PORT}: omni-mcp serve itself, or another program; then serve on another port"
    )
    yield note(
        "port-taken", text, fix=ours(scene.home, "serve", "--port", str(free)), needs="to stay open while it serves"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
