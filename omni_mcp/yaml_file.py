"""Read a YAML file that people write by hand: every key has a line, nothing is taken twice, `${VAR}` is filled in.

Values may be secrets, so no text made here ever repeats one.
"""
# The stubs of PyYAML leave its loaders untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from omni_mcp.errors import SettingsError

MAX_FILE_BYTES = 1 << 20
"""A file larger than this is refused unread."""

KeyPath = tuple[str, ...]
"""The keys from the top to a value; the entries of a list count from 0."""

_VARIABLE = re.compile(r"\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\})?", re.ASCII)
_ENVIRON = re.compile(r"\Aos\.environ/(.*)\Z", re.DOTALL)
"""How LiteLLM writes a variable; it would look for it in the environment only, not in the `.env` of the home."""

REFERENCE = re.compile(r"\$\{[A-Za-z_]\w*\}|os\.environ/[A-Za-z_]\w*", re.ASCII)
"""A variable and nothing else, without a default."""

_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Something in the file that cannot be used."""

    path: KeyPath
    what: str
    fix: str
    costs: bool = True
    """Whether it takes away what it is in; False: that is of use in spite of it."""
    unset: bool = False
    """Whether it is a variable without a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file as read."""

    name: str
    tree: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    """The line of each key, from 1."""
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict[KeyPath, KeyPath])
    """Of a file that was translated: where in it what stands in `tree` comes from."""

    def where(self, path: KeyPath) -> str:
        """Return `servers.yaml line 7, executors.openclaw.url`; a key that is not there has its parent's line."""
        return f"{self.name} line {self.line(path)}, {'.'.join(self.origin(path))}"

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of what it is in."""
        return next((self.lines[parent] for parent in _upwards(self.origin(path)) if parent in self.lines), 1)

    def origin(self, path: KeyPath) -> KeyPath:
        """Return where in the file stands what is at a path of `tree`."""
        moved = next((parent for parent in _upwards(path) if parent in self.origins), ())
        return (*self.origins.get(moved, ()), *path[len(moved) :])


def _upwards(path: KeyPath) -> Iterator[KeyPath]:
    """Yield a path, its parent, and so on to the top."""
    return (path[:length] for length in range(len(path), 0, -1))


def read_yaml(text: str, path: Path) -> Document:
    """Read the text of a file. Raises SettingsError with line and column for what is not plain YAML."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        tree: Any = loader.construct_document(root) if root else {}
    except yaml.YAMLError as error:
        raise SettingsError(_syntax(error), next_step=f"mend it there: {path}") from error
    except RecursionError as error:
        raise SettingsError("is nested too deeply", next_step="this is not a settings file") from error
    if not isinstance(tree, dict):
        raise SettingsError("line 1: is not a mapping of keys", next_step="begin with `executors:`")
    return Document(name=path.name, tree=cast("dict[str, Any]", tree), lines=dict(_lines(root)))


def text_of(path: Path) -> str:
    """Return what is in a file. Raises FileNotFoundError, and SettingsError for what can be no settings file."""
    try:
        about = path.stat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise SettingsError("is no regular file", next_step="name a file: a pipe or device is not read")
        if about.st_size > MAX_FILE_BYTES:
            raise SettingsError(f"is larger than {MAX_FILE_BYTES} bytes", next_step="this is not a settings file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise SettingsError(f"is not UTF-8 at byte {error.start}", next_step=f"save {path} as UTF-8") from error
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", next_step=f"mend or move {path}") from error


def _syntax(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return "holds a character that YAML does not allow"


class _Loader(yaml.SafeLoader):
    """Plain YAML without its traps: no aliases, no key twice, keys are words (`on`, `no`, `007` as written)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _refusal("is an alias (*name): write the value out", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            _as_word(key, seen)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            raise _refusal("looks like a date or number but is none: put it in quotes", node.start_mark) from error


def _as_word(key: yaml.Node, seen: dict[str, int]) -> None:
    if not isinstance(key, yaml.ScalarNode):
        raise _refusal("is not a word and cannot be a key", key.start_mark)
    if key.value in seen:
        raise _refusal(f"the key {key.value!r} is already on line {seen[key.value]}", key.start_mark)
    key.tag = _STRING
    seen[key.value] = key.start_mark.line + 1


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _lines(node: yaml.Node | None, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    for key, start, value in _children(node):
        inner = (*path, key)
        yield inner, start.start_mark.line + 1
        yield from _lines(value, inner)


def _children(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(number), value, value) for number, value in enumerate(node.value))


def expand(
    tree: Any, variables: Mapping[str, str], path: KeyPath = (), *, as_written: Collection[KeyPath] = ()
) -> tuple[Any, list[Flaw]]:
    """Return the tree with `${VAR}`, `${VAR:-default}`, `os.environ/VAR` filled in, and a flaw for each unset one.

    What stands at the paths of `as_written` is left alone.
    """
    if path in as_written:
        return tree, []
    if isinstance(tree, str):
        text = _ENVIRON.sub(r"${\1}", tree)
        flaws = [flaw for each in _VARIABLE.finditer(text) if (flaw := _unset(each, path, variables))]
        return _VARIABLE.sub(lambda each: _value(each, variables) or "", text), flaws
    filled = [(key, *expand(child, variables, (*path, key), as_written=as_written)) for key, child in entries(tree)]
    return _like(tree, [(key, child) for key, child, _ in filled]), [flaw for *_, flaws in filled for flaw in flaws]


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str | None:
    return variables.get(found["name"] or "") or found["default"]


def _unset(found: re.Match[str], path: KeyPath, variables: Mapping[str, str]) -> Flaw | None:
    if (name := found["name"]) is None:
        return Flaw(path=path, what="begins a variable without name or end", fix="write ${NAME} or ${NAME:-default}")
    if _value(found, variables) is not None:
        return None
    fix = f"set {name} in the environment or in the .env of the home"
    return Flaw(path=path, what=f"the variable {name} is not set", fix=fix, unset=True)


def without(tree: Any, gone: Collection[KeyPath], path: KeyPath = ()) -> Any:
    """Return the tree without what stands at these paths."""
    kept = [(key, (*path, key), child) for key, child in entries(tree) if (*path, key) not in gone]
    return _like(tree, [(key, without(child, gone, inner)) for key, inner, child in kept])


def entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a mapping or list holds, by its key or place; any other value holds nothing."""
    if isinstance(value, dict):
        yield from cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        yield from ((str(number), child) for number, child in enumerate(cast("list[Any]", value)))


def _like(value: Any, rows: list[tuple[str, Any]]) -> Any:
    if isinstance(value, dict):
        return dict(rows)
    return [child for _, child in rows] if isinstance(value, list) else value
