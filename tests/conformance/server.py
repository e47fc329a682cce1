"""Our face over HTTP on a home of its own, with the tools that the scenarios name beside it.

python -m tests.conformance.server HOME PORT
"""

import sys
from functools import partial
from pathlib import Path

import yaml

from omni_mcp.app import running_all
from omni_mcp.faces.mcp import create_face
from omni_mcp.faces.state import kept_state
from omni_mcp.home import Home
from tests.conformance.fixtures import add_fixtures
from tests.conformance.task_fixtures import add_task_fixtures

WORK = {
    "command": sys.executable,
    "args": [str(Path(__file__).with_name("worker.py"))],
    "tool": "work",
    "arguments": {"what": "{description}"},
    "handles": ["work"],
    "parallel": 8,
    "recovery": "retry",
    "protocol": "auto",
}


def main(root: str, port: str) -> None:
    """Serve until killed."""
    home = Home(Path(root))
    home.root.mkdir(exist_ok=True)
    home.servers.write_text(yaml.safe_dump({"executors": {"worker": WORK}, "routing": {"default": "worker"}}))
    face = create_face(partial(running_all, home), state=kept_state(home))
    add_fixtures(face)
    add_task_fixtures(face)
    face.run("http", host="127.0.0.1", port=int(port), show_banner=False, host_origin_protection=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
