"""Something to do to a client, worked out whole, for a person to agree to before it is done."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change: what it looks like, how it is done, and what is true then."""

    shown: str
    """The diff or the commands; empty if there is nothing to do."""
    done: str
    """What is true afterwards."""
    carry_out: Callable[[], None]
