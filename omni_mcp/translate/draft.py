"""Our tree in the making, with a line for everything that is not as it was in the file."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from omni_mcp.yaml_file import Flaw, KeyPath

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Something that means the same in our words, or that we leave out."""

    where: str
    """The key in their file: `model_list.auto-chat`."""
    what: str
    why: str


@dataclass(slots=True)
class Draft:
    """Collects what a translation finds; nothing that it leaves out is left unsaid."""

    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    rewrites: list[Rewrite] = field(default_factory=list[Rewrite])
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict[KeyPath, KeyPath])

    def put(self, path: KeyPath, value: Any, *, origin: KeyPath = ()) -> None:
        """Write a value into our tree; `origin` is where theirs had it."""
        table = self.tree
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = value
        if origin:
            self.origins[path] = origin

    def note(self, where: KeyPath, what: str, why: str) -> None:
        """Say what has become of a key."""
        self.rewrites.append(Rewrite(where=".".join(where), what=what, why=why))

    def flaw(self, path: KeyPath, what: str, fix: str) -> None:
        """Say what cannot be used, by its place in our tree."""
        self.flaws.append(Flaw(path=path, what=what, fix=fix))


def nearest(word: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that was probably meant."""
    plain = {each.lower().replace("-", "_"): each for each in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), plain, n=1, cutoff=cutoff)
    return plain[near[0]] if near else None
