"""What of a file cannot be used, as people are told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the settings that cannot be used, with its place and its fix."""

    where: str
    """`servers.yaml line 7, executors.openclaw.url`."""
    what: str
    fix: str
    executor: str | None = None
    """The executor that it disables."""
    disables_all: bool = False
    """Nobody can say which executors are meant, so none is used."""
    section: str | None = None
    """The top-level key that it is in; None: the whole file, or `.env`."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. Fix: {self.fix}"
