"""Stands for `omni-mcp …`, which a fork server forks with our streams, environment and folder; ends as it ends.

python -I -S forked.py PLACE ARGUMENT …  (see tests/forkserver.py)
"""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(f"\0{sys.argv[1]}")
    order = {"argv": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}  # noqa: PTH109 - pathlib costs more than all of us
    socket.send_fds(server, [json.dumps(order).encode() + b"\n"], [0, 1, 2])
    said = server.recv(64)
code = int(said or b"70")
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
