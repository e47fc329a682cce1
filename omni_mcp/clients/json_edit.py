"""Add, change and remove one member of a JSON file; every other byte stays as it is."""

import json
import re
from collections.abc import Sequence
from typing import Any

from omni_mcp.clients.jsonc import Member, Node, parse
from omni_mcp.errors import SettingsError

_BOM = "\ufeff"
_INDENT = re.compile(r"[ \t]*")


def find(text: str, keys: Sequence[str]) -> Any:
    """Return the value under a path of keys, or None."""
    node = _root(text) if not _is_blank(text) else None
    for key in keys:
        member = node.member(key) if node else None
        node = member.value if member else None
    return node.value if node else None


def insert(text: str, keys: Sequence[str], value: Any) -> str:
    """Return the text with a value under a path of keys; objects that are missing on the way are made.

    Raises SettingsError for what is no JSON, and where something else than an object is in the way.
    """
    if _is_blank(text):
        bom = _BOM if text.startswith(_BOM) else ""
        return bom + _dump(_nested(keys, value), unit="  ", base="", newline="\n") + "\n"
    node = _root(text)
    for depth, key in enumerate(keys):
        if node.members is None:
            raise SettingsError(f"{'.'.join(keys[:depth])} is there, but is not an object", next_step="make it {}")
        member = node.member(key)
        if member is None:
            return _Style(text).added(node, key, _nested(keys[depth + 1 :], value))
        node = member.value
    return _Style(text).replaced(node, value)


def remove(text: str, keys: Sequence[str]) -> str:
    """Return the text without the member at a path of keys, which must be there."""
    node = _root(text)
    for key in keys[:-1]:
        node = _member(node, key).value
    return _without(text, node, _member(node, keys[-1]))


def _member(node: Node, key: str) -> Member:
    member = node.member(key)
    if member is None:
        raise SettingsError(f"{key} is not there")
    return member


def _is_blank(text: str) -> bool:
    return not text.removeprefix(_BOM).strip()


def _root(text: str) -> Node:
    root = parse(text)
    if root.members is None:
        raise SettingsError("it is JSON, but not an object", next_step="the file has to begin with { and end with }")
    return root


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _dump(value: Any, *, unit: str | None, base: str, newline: str) -> str:
    """Return JSON; without a unit of indentation on one line."""
    return json.dumps(value, ensure_ascii=False, indent=unit).replace("\n", newline + base)


class _Style:
    """How this file is written, and text that goes with it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        first = re.search(r"\n([ \t]+)\S", text)
        self._unit = first[1] if first else "  "

    def added(self, into: Node, key: str, value: Any) -> str:
        """Return the text with one more member at the end of an object."""
        text, last = self._text, into.members[-1] if into.members else None
        tail = len(text[: into.end - 1].rstrip())
        comma = "," if last and last.comma is None else ""
        behind = "," if last and last.comma is not None else ""
        before = text[: last.value.end] + comma + text[last.value.end : tail] if last else text[:tail]
        return before + self._member(into, key, value, behind) + text[tail:]

    def replaced(self, node: Node, value: Any) -> str:
        """Return the text with another value in a place."""
        old = self._text[node.start : node.end]
        unit = self._unit if "\n" in old else None
        new = _dump(value, unit=unit, base=self._indent(node.start), newline=self._newline)
        return self._text[: node.start] + new + self._text[node.end :]

    def _member(self, into: Node, key: str, value: Any, behind: str) -> str:
        name = json.dumps(key)
        if self._on_one_line(into):
            gap = " " if into.members else ""
            return f"{gap}{name}: {_dump(value, unit=None, base='', newline='')}{behind}"
        base = self._inner_indent(into)
        dumped = _dump(value, unit=self._unit, base=base, newline=self._newline)
        closing = "" if self._closes_on_its_own_line(into) else self._newline + self._indent(into.start)
        return f"{self._newline}{base}{name}: {dumped}{behind}{closing}"

    def _on_one_line(self, node: Node) -> bool:
        if not node.members:
            return "\n" not in self._text.strip() and self._text.strip(" \t\r\n" + _BOM) != "{}"
        head = self._text[node.start : node.members[0].start]
        return "\n" not in head and not self._closes_on_its_own_line(node)

    def _closes_on_its_own_line(self, node: Node) -> bool:
        inside = self._text[node.start : node.end - 1]
        return "\n" in inside[len(inside.rstrip()) :]

    def _inner_indent(self, node: Node) -> str:
        first = node.members[0] if node.members else None
        if first and "\n" in self._text[node.start : first.start]:
            return self._indent(first.start)
        return self._indent(node.end - 1 if self._closes_on_its_own_line(node) else node.start) + self._unit

    def _indent(self, place: int) -> str:
        """Return the blanks at the beginning of the line that a place is in."""
        found = _INDENT.match(self._text, self._text.rfind("\n", 0, place) + 1)
        return found[0] if found else ""


def _without(text: str, node: Node, member: Member) -> str:
    others = [each for each in node.members or () if each is not member]
    end = member.value.end if member.comma is None else member.comma + 1
    start = _start_of_cut(text, member, end)
    if not others and not (text[node.start + 1 : start] + text[end : node.end - 1]).strip():
        start, end = node.start + 1, node.end - 1
    rest = text[:start] + text[end:]
    before = [each.comma for each in others if each.comma is not None and each.comma < member.start]
    if before and member.comma is None:
        rest = rest[: before[-1]] + rest[before[-1] + 1 :]
    return rest


def _start_of_cut(text: str, member: Member, end: int) -> int:
    """Return where the cut begins: at the blanks before, unless a line comment above would swallow what follows."""
    start = len(text[: member.start].rstrip())
    rest_of_line = text[end:].partition("\n")[0]
    return member.start if "\n" in text[start : member.start] and rest_of_line.strip() else start
