"""Stands for one of our programs, which a fork server forks with our streams, environment and folder.

It ends as that ends, and hands on what asks it to end. Where variables say how Python is to start, that is started.

python -I -S forked.py PLACE MODULE ARGUMENT …  (see tests/forkserver.py)
"""

import json
import os
import signal
import socket
import sys

if any(name.startswith("PYTHON") for name in os.environ):
    os.execv(sys.executable, [sys.executable, "-P", "-m", *sys.argv[2:]])  # noqa: S606 - so that we are it
with socket.socket(socket.AF_UNIX) as server:
    server.connect(f"\0{sys.argv[1]}")
    order = {"module": sys.argv[2], "argv": sys.argv[3:], "kept": [], "session": False}
    order |= {"cwd": os.getcwd(), "env": dict(os.environ)}  # noqa: PTH109 - pathlib costs more than all of us
    socket.send_fds(server, [json.dumps(order).encode() + b"\n"], [0, 1, 2])
    with server.makefile() as said:
        pid = int(said.readline() or 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        code = int(said.read() or 70)
if code < 0:
    os.kill(os.getpid(), signal.SIGKILL if code == -signal.SIGINT else -code)
sys.exit(code)
