"""One thing that the demo claims."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A claim, whether it is so, and what was seen."""

    what: str
    ok: bool
    seen: str
