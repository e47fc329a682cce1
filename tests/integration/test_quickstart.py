"""docs/quickstart.md, done as it stands: its files written, its commands run one after the other in a shell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/quickstart.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```\w+ title=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
BASH = shutil.which("bash") or "bash"


@pytest.mark.timeout(180)
def test_the_quickstart_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    for name, text in FILES:
        (tmp_path / name).write_text(text.replace("range(10)", "range(3)"), encoding="utf-8")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": programs, "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [BASH, "-eu"], input=COMMANDS, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello, Ada!" in done.stdout
    assert "Hello, Grace!" in done.stdout
    listed = done.stdout.rpartition("Hello, Grace!")[2]
    assert listed.count("completed") == 2, listed
