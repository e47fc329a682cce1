"""Finds a finished message in a catalogue by the template that it was made from, and says it in other words.

A template has placeholders by name, `no task has the id {id!r}`; `!r` stands for what is quoted. What a placeholder
holds is said in the same way, for a message may hold another; what no template made stays as it is.
"""
# The stubs of PyYAML leave its loaders untyped.
# pyright: reportUnknownMemberType=false

import ast
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

_SECTIONS = TypeAdapter(dict[str, dict[str, str]])
HOLE = re.compile(r"\{(?P<name>[a-z_]+)(?P<quoted>!r)?\}")
"""A placeholder of a template."""
NUMBERS = ("n", "total")
"""Placeholders that hold nothing else."""
NUMBER = r"-?[\d.,]+"
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
JOINTS = ("; ", ". ", ": ", " → ")
"""Where two messages are put together, the loosest first."""
DEEPEST = 8
"""How many messages may be within each other."""
_IN_BRACKETS = re.compile(r"(.*?) ?\((.+)\)", re.DOTALL)
_NAMED = re.compile(r"([\w.-]+) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A message with placeholders, and how it is said."""

    literals: tuple[str, ...]
    pattern: str
    other: str

    @classmethod
    def of(cls, text: str, other: str) -> "Template":
        """Take a template apart. Raises ValueError if `other` is not to be filled from it."""
        parts = HOLE.split(text)
        literals, names, quoted = parts[::3], parts[1::3], parts[2::3]
        if len(names) > len(set(names)) or any(
            each["quoted"] and each["name"] not in names for each in HOLE.finditer(other)
        ):
            raise ValueError(f"the placeholders of {text!r} do not fit {other!r}")
        holes = [_hole(name, quoted=bool(mark)) for name, mark in zip(names, quoted, strict=True)]
        return cls(tuple(filter(None, literals)), _pattern([re.escape(each) for each in literals], holes), other)

    @property
    def weight(self) -> int:
        """How much of it is fixed: of two that fit, the one with more is meant."""
        return sum(map(len, self.literals))

    def match(self, text: str) -> re.Match[str] | None:
        """Return what the placeholders hold, if the text was made from this template."""
        return _compiled(self.pattern).fullmatch(text) if all(each in text for each in self.literals) else None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern when a text first looks like it: most are never needed."""
    return re.compile(pattern, re.DOTALL)


def _hole(name: str, *, quoted: bool) -> str:
    return f"(?P<{name}>{_QUOTED if quoted else NUMBER if name in NUMBERS else '.*?'})"


def _pattern(literals: Sequence[str], holes: Sequence[str]) -> str:
    """Return the pattern; what lies between two literals ends at the first, so that no text takes long to refuse."""
    parts = [hole + literal for hole, literal in zip(holes, literals[1:], strict=True)]
    return literals[0] + "".join(f"(?>{part})" for part in parts[:-1]) + parts[-1]


class Catalogue:
    """Messages and how they are said in one language. `joints` are the language's own marks between two messages."""

    def __init__(self, messages: Mapping[str, str], joints: Mapping[str, str] | None = None) -> None:
        self._fixed = {text: other for text, other in messages.items() if not HOLE.search(text)}
        made = (Template.of(text, other) for text, other in messages.items() if HOLE.search(text))
        self._templates = sorted(made, key=lambda template: -template.weight)
        self._joints = {joint: joint for joint in JOINTS} | dict(joints or {})
        self._brackets = self._joints.get("()", " ({})")

    def say(self, text: str, known: Mapping[str, str]) -> str:
        """Say each line by itself; space around it stays, and what holds none of ours as a whole."""
        saying = _Saying(known, {})
        return "\n".join(self._said(line, saying) for line in text.split("\n"))

    def _said(self, text: str, saying: "_Saying", deep: int = DEEPEST) -> str:
        bare = text.strip()
        if not (bare and deep):
            return text
        if bare not in saying.said:
            saying.said[bare] = self._found(bare, saying, deep - 1) or bare
        return text.replace(bare, saying.said[bare], 1)

    def _found(self, text: str, saying: "_Saying", deep: int) -> str | None:
        return (
            self._whole(text, saying, deep)
            or self._after_a_name(text, saying, deep)
            or self._in_parts(text, saying, deep)
            or self._around_brackets(text, saying, deep)
        )

    def _whole(self, text: str, saying: "_Saying", deep: int) -> str | None:
        if (fixed := self._fixed.get(text)) is not None:
            return self._filled(fixed, {}, saying, deep)
        for template in self._templates:
            if (found := template.match(text)) is not None:
                return self._filled(template.other, found.groupdict(), saying, deep)
        return None

    def _filled(self, other: str, held: Mapping[str, str], saying: "_Saying", deep: int) -> str:
        """Fill a template: `{x!r}` as quoted as it was, `{x}` without its quotes, else as `known`, else `X`."""

        def fill(hole: re.Match[str]) -> str:
            name = hole["name"]
            if (value := held.get(name)) is None:
                return saying.known.get(name, name.upper())
            return value if hole["quoted"] else _unquoted(value) or self._said(value, saying, deep)

        return HOLE.sub(fill, other)

    def _after_a_name(self, text: str, saying: "_Saying", deep: int) -> str | None:
        """Say what is said of an executor: `claude_code is not configured`."""
        found = _NAMED.fullmatch(text)
        said = found and self._whole(found[2], saying, deep)
        return found and said and f"{found[1]} {said}"

    def _in_parts(self, text: str, saying: "_Saying", deep: int) -> str | None:
        """Say two messages that were put together."""
        for joint in JOINTS:
            parts = text.split(joint)
            said = [self._said(part, saying, deep) for part in parts] if len(parts) > 1 else parts
            if said != parts:
                return self._joints[joint].join(said)
        return None

    def _around_brackets(self, text: str, saying: "_Saying", deep: int) -> str | None:
        if (found := _IN_BRACKETS.fullmatch(text)) is None:
            return None
        said = [self._said(part, saying, deep) for part in found.groups()]
        return None if said == list(found.groups()) else said[0] + self._brackets.format(said[1])


@dataclass(frozen=True, slots=True)
class _Saying:
    """What is known while one message is said, and what was said of its parts."""

    known: Mapping[str, str]
    said: dict[str, str]


def _unquoted(value: str) -> str | None:
    if not re.fullmatch(_QUOTED, value, re.DOTALL):
        return None
    try:
        return str(ast.literal_eval(value))
    except (SyntaxError, ValueError):
        return None


def load(path: Path) -> Catalogue:
    """Read a catalogue. Raises ValueError if it is not one."""
    try:
        tree: Any = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        sections = _SECTIONS.validate_python(tree, strict=True)
        joints = sections.pop("joints", {})
        return Catalogue({text: other for section in sections.values() for text, other in section.items()}, joints)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be used: {' '.join(str(error).split())}") from error
