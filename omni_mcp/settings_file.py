"""Read a settings file in the notation that it is in: YAML, or JSON as MCP clients write it (comments and all)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omni_mcp.clients.jsonc import Member, Node, parse
from omni_mcp.errors import SettingsError
from omni_mcp.yaml_file import Document, KeyPath, entries, read_yaml, text_of


def read(path: Path) -> Document:
    """Read a file. Raises FileNotFoundError, and SettingsError with line and column for what cannot be read."""
    document = _read(text_of(path), path)
    if (broken := next(_halves(document.tree), None)) is not None:
        raise SettingsError(
            f"line {document.line(broken)}: holds half a character (a surrogate that stands alone)",
            next_step=f"write the character itself: {path}",
        )
    return document


_HALF = re.compile(r"[\ud800-\udfff]")
"""A surrogate: an escape can write it, and nothing can be done with it, not even print it."""


def _halves(tree: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield where a key or value holds half a character."""
    if isinstance(tree, str) and _HALF.search(tree):
        yield path
    for key, child in entries(tree):
        if _HALF.search(key):
            yield (*path, key)
        yield from _halves(child, (*path, key))


def _read(text: str, path: Path) -> Document:
    if path.suffix.lower() in (".json", ".jsonc", ".json5"):
        return _read_json(text, path)
    return (
        _read_braces(text, path)
        if text.lstrip("\ufeff \t\r\n").startswith(("{", "//", "/*"))
        else read_yaml(text, path)
    )


def _read_braces(text: str, path: Path) -> Document:
    """Read what may be JSON under another name, or a mapping of YAML in braces."""
    try:
        return _read_json(text, path)
    except SettingsError:
        return read_yaml(text, path)


def _read_json(text: str, path: Path) -> Document:
    try:
        root = parse(text)
    except SettingsError as error:
        raise SettingsError(f"is no JSON: {error.message}", next_step=f"mend it there: {path}") from error
    if root.members is None:
        raise SettingsError("line 1: is not an object", next_step='begin with {"mcpServers": {')
    lines: dict[KeyPath, int] = {}
    for where, member in _members(root):
        line = text.count("\n", 0, member.start) + 1
        if where in lines:
            raise SettingsError(
                f"line {line}: the key {member.key!r} is already on line {lines[where]}", next_step=f"mend {path}"
            )
        lines[where] = line
    tree: dict[str, Any] = root.value
    return Document(name=path.name, tree=tree, lines=lines)


def _members(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Member]]:
    for member in node.members or ():
        inner = (*path, member.key)
        yield inner, member
        yield from _members(member.value, inner)
