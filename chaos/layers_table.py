"""What came of layers that fail: what is claimed of each row, and the table in docs/models.md."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from chaos.stage import say

HEALTHY, REFUSED, KILLED = "none", "refused", "500 and kills"
"""Without a comma: a model of that name would be two for LiteLLM's proxy."""
NEARLY = 0.95
"""The share of calls that the next layer serves: one that the machine keeps busy for too long is passed over, too."""


class Way(StrEnum):
    """Who serves model calls."""

    PROXY = "proxy"
    ROUTER = "router"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What came of one row."""

    fault: str
    way: Way
    tasks: int
    completed: int
    asked: Sequence[int]
    """Model calls that each layer saw."""
    served: Counter[int]
    """Calls with a known cost, by the layer that stands on the books."""
    bill: float
    known: float
    lost: int
    """Answers of the clouds that no row with a cost stands for."""
    unknown: int
    """Rows without a cost."""
    seconds: float

    @property
    def trouble(self) -> str | None:
        """Return what is not as claimed; None: all is."""
        layer = 1 if self.fault == HEALTHY else 2
        claims = {
            "all tasks are completed": self.completed == self.tasks,
            f"layer {layer} served them": self.served[layer] >= NEARLY * self.served.total(),
            "no dead layer served": layer == 1 or not self.served[1],
            "nothing is known that was not billed": self.known <= self.bill + 1e-9,
            "known + unknown = the bill": self.lost <= self.unknown and (self.lost or self.bill - self.known < 1e-9),
        }
        return next((claim for claim, holds in claims.items() if not holds), None)


def line(count: Count) -> str:
    """Return a row of the table in docs/models.md."""
    books = f"{count.known:.6f} of {count.bill:.6f}, {count.lost} of {count.unknown} unknown rows"
    asked = "/".join(map(str, count.asked))
    served = ", ".join(f"layer {layer}: {many}" for layer, many in sorted(count.served.items())) or "nobody"
    done = f"{count.completed} of {count.tasks}"
    return f"| {count.way} | {count.fault} | {done} | {served} | {asked} | {books} | {count.seconds:.1f} |"


HEAD = (
    "| way | layer 1 | completed | served, by the books | calls of each layer | USD known of the bill; lost | s |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The table, in a file that several runs add to, so that a long one can be played in parts."""

    file: Path | None

    def begin(self) -> None:
        """Write the head of a table that is new."""
        say(HEAD)
        if self.file is not None and not self.file.exists():
            self.file.write_text(f"{HEAD}\n", encoding="utf-8")

    def lacks(self, way: Way, fault: str) -> bool:
        """Whether this row was not played yet."""
        return self.file is None or f"| {way} | {fault} |" not in self.file.read_text(encoding="utf-8")

    def add(self, count: Count) -> None:
        """Write a row, and what is not so of it."""
        text = line(count) + (f"\n✗ not so: {count.trouble}" if count.trouble else "")
        say(text)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
