"""What a chaos task asks for: `3 steps of 40 ms`."""

import re
from dataclasses import dataclass
from typing import Self

_ASKED = re.compile(r"(\d+) steps of (\d+) ms")


@dataclass(frozen=True)
class Work:
    """How many steps, and how many seconds each takes."""

    steps: int
    pause: float

    @classmethod
    def read(cls, description: str) -> Self:
        """Return what a description asks for."""
        found = _ASKED.search(description)
        if found is None:
            raise ValueError(description)
        return cls(int(found[1]), int(found[2]) / 1000)
