"""What an agent's shell can find out: prints all environments and command lines, and the files that runs hold open."""

import sys
from contextlib import suppress
from pathlib import Path

MARK = b"OMNI_TASK="
LONGEST = 1 << 20


def main() -> None:
    """Look at every process."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            about = (place / "environ").read_bytes()
            sys.stdout.buffer.write(about + (place / "cmdline").read_bytes() + b"\n")
            if MARK in about:
                held(place)


def held(place: Path) -> None:
    """Print the files that a process has open, and the one that it was handed."""
    for name in (place / "fd").iterdir():
        with suppress(OSError):
            if name.is_file():
                with name.open("rb") as file:
                    sys.stdout.buffer.write(file.read(LONGEST) + b"\n")
    for entry in (place / "environ").read_bytes().split(b"\0"):
        variable, _, value = entry.partition(b"=")
        if variable == b"OMNI_HANDOVER":
            with suppress(OSError):
                sys.stdout.buffer.write(Path(value.decode()).read_bytes())


if __name__ == "__main__":
    main()
