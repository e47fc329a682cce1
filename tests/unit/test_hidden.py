"""What other processes of the account see of one that hides, and what it still has itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no /proc")

HIDES = """
import ctypes, os, subprocess, sys
from omni_mcp.hidden import hide_environment, hide_memory
hide_environment()
hide_memory()
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
child = subprocess.run([sys.executable, "-c", "import os; print(os.environ['A_KEY'])"], capture_output=True, text=True)
print(os.environ["A_KEY"], getenv(b"A_KEY").decode(), child.stdout.strip(), flush=True)
sys.stdin.read()
"""

HIDES_AS = """
import ctypes, os, sys
from omni_mcp.hidden import hide_memory
os.setuid(int(sys.argv[1]))
ctypes.CDLL(None).prctl(4, 1)  # setuid(2) has hidden it; a process that never was another one is not
if sys.argv[2] == "hidden":
    hide_memory()
print(flush=True)
sys.stdin.read()
"""

LOOKS_AS = """
import os, sys
os.setuid(int(sys.argv[1]))
print(len(open(f"/proc/{sys.argv[2]}/environ", "rb").read()))
"""
NOBODY = "65534"


def a_process(script: str, *arguments: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "A_KEY": "a-secret", "OMNI_HOME": "/a/home"}
    argv = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(argv, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_values_are_gone_from_proc_and_still_there_for_us_for_libraries_and_for_children():
    with a_process(HIDES) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["a-secret"] * 3
        shown = Path(f"/proc/{process.pid}/environ").read_bytes()
        process.communicate("")
    assert b"A_KEY=" in shown
    assert b"a-secret" not in shown
    assert b"OMNI_HOME=/a/home" in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_process_of_the_same_user_cannot_look_into_it_at_all():
    assert int(looked("open")) > 0
    assert "PermissionError" in looked("hidden")


def looked(how: str) -> str:
    """Return what a process of the same user says that looked into one which hides, or does not."""
    with a_process(HIDES_AS, NOBODY, how) as process:
        assert process.stdout is not None
        process.stdout.readline()
        look = [sys.executable, "-c", LOOKS_AS, NOBODY, str(process.pid)]
        seen = subprocess.run(look, capture_output=True, text=True, check=False)
        process.communicate("")
    return seen.stdout + seen.stderr
