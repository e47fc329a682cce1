"""Where in a JSON text each member stands, comments and all: what an edit needs that leaves the rest byte for byte.

By hand, because what there is reads but does not locate (`json`, `json5`, `pyjson5`), or locates but takes the import
name of a package that many have (`json-five`). It reads JSON, JSON with comments and trailing commas, and JSON5.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from omni_mcp.errors import SettingsError

_TOKEN = re.compile(
    r"""(?P<blank>[\s\ufeff]+|//[^\r\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
    |(?P<mark>[{}\[\]:,])
    |(?P<word>[^\s{}\[\]:,"'/]+)""",
    re.VERBOSE | re.DOTALL,
)
_IN_STRING = re.compile(r'\\(?:\r\n|x[0-9a-fA-F]{2}|.)|"', re.DOTALL)
_ESCAPES = {"'": "'", "\r\n": "", "\n": "", "v": r"\u000b", "0": r"\u0000"}
_WORDS = {"true": True, "false": False, "null": None}
_KEY = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|Infinity|NaN|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and where it stands: `text[start:end]`."""

    start: int
    end: int
    value: Any
    members: "tuple[Member, ...] | None" = None
    """Of an object, in their order; None for what is no object."""

    def member(self, key: str) -> "Member | None":
        """Return the member of that name; of several the last, as clients read it."""
        return next((each for each in reversed(self.members or ()) if each.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A key of an object with its value."""

    key: str
    start: int
    value: Node
    comma: int | None
    """Where the comma behind it stands, if there is one."""


def parse(text: str) -> Node:
    """Return the tree of a text. Raises SettingsError with line and column where it is no JSON."""
    reader = _Reader(text)
    try:
        root = reader.value()
    except RecursionError as error:
        raise SettingsError("it is nested too deeply", next_step="this is not the configuration of a client") from error
    if reader.kind:
        raise reader.unexpected("the end of the file")
    return root


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`string`, `word`, the mark itself, or nothing at the end."""
    start: int
    text: str = ""

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _refusal(text, place, "a character that JSON does not allow, or a text without its end")
        if found.lastgroup != "blank":
            yield _Token(found[0] if found.lastgroup == "mark" else str(found.lastgroup), place, found[0])
        place = found.end()
    yield _Token("", place)


class _Reader:
    """Takes one token after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._now = next(self._tokens)

    @property
    def kind(self) -> str:
        """What comes next."""
        return self._now.kind

    def unexpected(self, wanted: str) -> SettingsError:
        """Return the error that something else comes next."""
        found = f"{self._now.text[:20]!r}" if self.kind in ("{", "}", "[", "]", ":", ",") else self.kind or "the end"
        return _refusal(self._text, self._now.start, f"expected {wanted}, found {found}")

    def value(self) -> Node:
        """Take one value."""
        if self.kind == "{":
            return self._object()
        if self.kind == "[":
            return self._list()
        if self.kind not in ("string", "word"):
            raise self.unexpected("a value")
        token = self._take(self.kind)
        return Node(start=token.start, end=token.end, value=self._scalar(token))

    def _object(self) -> Node:
        start = self._take("{").start
        members: list[Member] = []
        while self.kind != "}" and (not members or members[-1].comma is not None):
            members.append(self._member())
        end = self._take("}").end
        value = {each.key: each.value.value for each in members}
        return Node(start=start, end=end, value=value, members=tuple(members))

    def _member(self) -> Member:
        if self.kind not in ("string", "word"):
            raise self.unexpected("a key")
        if self.kind == "word" and not _KEY.fullmatch(self._now.text):
            raise self.unexpected("a key in quotes")
        token = self._take(self.kind)
        self._take(":")
        key = _string(token.text) if token.kind == "string" else token.text
        return Member(key=key, start=token.start, value=self.value(), comma=self._comma())

    def _list(self) -> Node:
        start = self._take("[").start
        values: list[Any] = []
        comma: int | None = start
        while self.kind != "]" and comma is not None:
            values.append(self.value().value)
            comma = self._comma()
        return Node(start=start, end=self._take("]").end, value=values)

    def _comma(self) -> int | None:
        return self._take(",").start if self.kind == "," else None

    def _take(self, kind: str) -> _Token:
        if self.kind != kind:
            raise self.unexpected(f"{kind!r}")
        taken = self._now
        if kind:
            self._now = next(self._tokens)
        return taken

    def _scalar(self, token: _Token) -> Any:
        if token.kind == "string":
            return _string(token.text)
        if token.text in _WORDS:
            return _WORDS[token.text]
        if not _NUMBER.fullmatch(token.text):
            raise _refusal(self._text, token.start, "expected a value, found a word without quotes")
        return _number(token.text)


def _number(word: str) -> float:
    try:
        return json.loads(word)
    except ValueError:
        return int(word, 16) if "x" in word.lower() else float(word)


def _string(token: str) -> str:
    try:
        return json.loads(f'"{_IN_STRING.sub(_as_json, token[1:-1])}"', strict=False)
    except ValueError:
        return token[1:-1]


def _as_json(found: re.Match[str]) -> str:
    """Return an escape of JSON5 as JSON writes it."""
    if found[0] == '"':
        return r"\""
    escaped = found[0][1:]
    return rf"\u00{escaped[1:]}" if len(escaped) == 3 and escaped[0] == "x" else _ESCAPES.get(escaped, found[0])


def _refusal(text: str, place: int, what: str) -> SettingsError:
    """Say where it went wrong without repeating values: they may be secrets."""
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    return SettingsError(f"line {line}, column {column}: {what}")
