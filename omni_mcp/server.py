"""The entry object for `mcp dev`, `fastmcp run` and `fastmcp dev inspector`: face and engine in one process.

`mcp dev omni_mcp/server.py` wants the SDK's own server type, so `mcp` is one whose `run` starts the face; FastMCP's
commands take `omni_mcp/server.py:face`.
"""

from functools import partial
from typing import Any, Literal

from mcp.server import MCPServer

from omni_mcp.app.inside import running_all
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home

face = create_face(partial(running_all, Home.locate()))


class _Sdk(MCPServer):
    """What `mcp dev` and `mcp run` accept."""

    def run(self, transport: Literal["stdio", "sse", "streamable-http"] = "stdio", **kwargs: Any) -> None:
        """Run the face instead."""
        face.run(transport, show_banner=False, **kwargs)


mcp = _Sdk("Omni-Orchestrator")
