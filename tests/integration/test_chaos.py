"""What `make chaos` leans on: its guard."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
DRIVER = """
import subprocess, sys, time
from pathlib import Path
from chaos.face import environment
from chaos.guard import guarded
home = Path(sys.argv[1])
with guarded([home]):
    child = subprocess.Popen(["sleep", "600"], env=environment(home), start_new_session=True)
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="the homes of chaos are POSIX only")
def test_nothing_of_a_home_outlives_a_driver_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", DRIVER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as driver:
        assert driver.stdout is not None
        child = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    child.wait(timeout=30)
