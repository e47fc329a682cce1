"""Our face over HTTP on a home of its own, with the tools that the scenarios name beside it; back when it is killed.

python -m tests.conformance.server HOME PORT WORKER_PORT
"""

import sys
from functools import partial
from pathlib import Path

import yaml

from omni_mcp.app.engine import preload_engine
from omni_mcp.app.inside import running_all
from omni_mcp.faces.mcp import create_face
from omni_mcp.faces.state import kept_state
from omni_mcp.home import Home
from tests.conformance.fixtures import add_fixtures
from tests.conformance.forked import again_and_again
from tests.conformance.task_fixtures import add_task_fixtures


def configure(home: Home, worker: int) -> None:
    """Write the settings: one executor, reached over HTTP."""
    row = {
        "url": f"http://127.0.0.1:{worker}/mcp",
        "tool": "work",
        "arguments": {"what": "{description}"},
        "handles": ["work"],
        "parallel": 8,
        "recovery": "retry",
        "protocol": "auto",
    }
    home.root.mkdir(exist_ok=True)
    home.servers.write_text(yaml.safe_dump({"executors": {"worker": row}, "routing": {"default": "worker"}}))


def serve(home: Home, port: int) -> None:
    """Serve until killed."""
    face = create_face(partial(running_all, home), state=kept_state(home))
    add_fixtures(face)
    add_task_fixtures(face)
    face.run("http", host="127.0.0.1", port=port, show_banner=False, host_origin_protection=True, log_level="error")


if __name__ == "__main__":
    place = Home(Path(sys.argv[1]))
    configure(place, int(sys.argv[3]))
    preload_engine()
    again_and_again(partial(serve, place, int(sys.argv[2])))
