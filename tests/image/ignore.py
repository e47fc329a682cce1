"""What a .dockerignore lets into the context: its last line that fits a file, or a folder above it, decides."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Context:
    """The folder of a build."""

    root: Path
    rules: Sequence[tuple[re.Pattern[str], bool]]

    @classmethod
    def of(cls, root: Path) -> "Context":
        """Read the .dockerignore of a folder."""
        lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
        return cls(root, [_rule(line.strip()) for line in lines if line.strip() and not line.startswith("#")])

    def lets_in(self, path: str) -> bool:
        """Say whether a file, by its path in the folder, is in the context."""
        allowed = True
        for pattern, lets in self.rules:
            allowed = lets if pattern.match(path) else allowed
        return allowed

    def files(self, source: str) -> Iterator[Path]:
        """Return the files of the context that a COPY of `source` takes."""
        top = self.root / source
        found = [top] if top.is_file() else sorted(top.rglob("*"))
        return (each for each in found if each.is_file() and self.lets_in(each.relative_to(self.root).as_posix()))


def _rule(line: str) -> tuple[re.Pattern[str], bool]:
    lets = line.startswith("!")
    body = re.escape(line.removeprefix("!").strip("/"))
    body = body.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.compile(f"{body}(?:/.*)?$"), lets
