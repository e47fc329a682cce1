"""What other systems have not: our modules come up there, a face takes a task, and the doctor looks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="takes away what Linux has")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("platform", "says"), [("win32", ["schtasks", "windows://"]), ("darwin", ["launchd", "absent: HOME"])]
)
def test_without_what_only_linux_has_a_task_is_taken_and_the_doctor_looks(
    platform: str, says: list[str], tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "tests.elsewhere", platform, str(tmp_path)]
    env = {**os.environ, "HOME": str(tmp_path), "OMNI_HOME": str(tmp_path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(word in done.stdout for word in says), done.stdout
