"""A real file system that is soon full, where the machine allows one."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest


@pytest.fixture(name="small_disk")
def a_small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MB; skips where it cannot be mounted (it needs root)."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets us mount no file system")
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Write until nothing goes any more; then give so many bytes back."""
    with suppress(OSError), path.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 4096)
    with path.open("r+b") as file:
        file.truncate(max(0, path.stat().st_size - leave))
