"""Engines that die right after their start: counted in a file of the home, so that all faces wait and say why.

The file is written before anything can fail, and removed when an engine has done its first turn or ends in order.
Then whoever finds it while no engine holds the lock knows that the last one died early, however it died.
"""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder

LONGEST_PAUSE = 60.0
"""Seconds between two starts at most."""
LINE = 300
"""Characters of the reason."""
FRAME = " \t|+-"
"""What the traceback of a group of exceptions draws around its lines."""
TAIL = 20_000
"""Bytes at the end of the log in which the reason is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashes:
    """How often engines died early, one after the other, and why the last one did."""

    count: int
    at: datetime
    """When the last one was started."""
    reason: str

    @property
    def next_start(self) -> datetime:
        """The first death costs no time, the following ones twice as long each time."""
        pause = 0.0 if self.count < 2 else min(2.0 ** (self.count - 1), LONGEST_PAUSE)
        return self.at + timedelta(seconds=pause)

    def __str__(self) -> str:
        times = "right after its start" if self.count == 1 else f"{self.count} times in a row right after its start"
        again = f"next try at {self.next_start:%H:%M:%S} UTC; omni-mcp engine logs"
        return f"the engine died {times}: {self.reason}; {again}"


@contextmanager
def counted(home: Home) -> Generator[Callable[[], None]]:
    """Count an engine's start as a crash until it calls what this yields, or ends in order."""
    well = partial(home.engine_crashes.unlink, missing_ok=True)
    before = _read(home.engine_crashes)
    count = (before[0] if before else 0) + 1
    with suppress(OSError):  # a full disk must not keep an engine from coming up: then it is not counted
        home.engine_crashes.write_text(json.dumps({"count": count, "at": datetime.now(UTC).isoformat()}), "utf-8")
    try:
        yield well
    except Exception:
        raise
    except BaseException:
        well()
        raise
    well()


def look(home: Home) -> Crashes | None:
    """Return what is known of early deaths; None while an engine is alive, or when the last one ended in order."""
    return known(home) if holder(home.engine_lock) is None else None


def known(home: Home) -> Crashes | None:
    """Return what is known of early deaths, to the engine that comes up after them and is not counted yet."""
    found = _read(home.engine_crashes)
    return None if found is None else Crashes(count=found[0], at=found[1], reason=_reason(home.engine_log))


def is_paused(home: Home) -> bool:
    """Whether the next engine has to wait."""
    found = look(home)
    return found is not None and datetime.now(UTC) < found.next_start


def _read(path: Path) -> tuple[int, datetime] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return int(said["count"]), datetime.fromisoformat(said["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def last_lines(log: Path) -> Sequence[str]:
    """Return the lines at the end of a log that say something; none where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            said = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in said.splitlines() if line.strip(FRAME)]


def _reason(log: Path) -> str:
    said = last_lines(log)
    return said[-1].strip(FRAME)[:LINE] if said else "its log is empty"
