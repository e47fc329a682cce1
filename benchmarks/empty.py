"""The wheel, and an empty environment to install it into: what a user has, and nothing that is for development."""

import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "benchmarks" / "measured.json"
"""What was measured last, part by part."""


def built(folder: Path) -> Path:
    """Build the wheel into a folder; returns its path."""
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@contextmanager
def environment() -> Generator[Path]:
    """Make an environment with the wheel and what it needs, and nothing else, pip included."""
    with tempfile.TemporaryDirectory(prefix="omni-env-") as folder:
        made = Path(folder, "env")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(made / "bin/python")]
        subprocess.run([*pip, "install", str(built(Path(folder, "dist")))], cwd=folder, check=True, capture_output=True)
        yield made
