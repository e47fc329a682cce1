"""Add, change and remove one table of a TOML file; every other byte stays as it is.

A table is added as text at the end, where TOML allows it wherever its parents stand: tomlkit would put it before keys
that follow, and they would become its own. Each edit is read back with the standard library before anybody sees it.
"""

import tomllib
from collections.abc import Sequence
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from omni_mcp.errors import SettingsError

_BOM = "\ufeff"


def find(text: str, keys: Sequence[str]) -> Any:
    """Return the value under a path of keys, or None."""
    value: Any = _parse(text)
    for key in keys:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return value


def insert(text: str, keys: Sequence[str], value: Any) -> str:
    """Return the text with a table under a path of keys. Raises SettingsError for what is no TOML or has no room."""
    if find(text, keys) is not None:
        text = remove(text, keys)
    newline = "\r\n" if "\r\n" in text else "\n"
    table = tomlkit.dumps(_nested(keys, value)).replace("\n", newline)
    return _checked(text + _gap(text, newline) + table, text, keys, value)


def remove(text: str, keys: Sequence[str]) -> str:
    """Return the text without the table at a path of keys, which must be there."""
    bom = _BOM if text.startswith(_BOM) else ""
    document = tomlkit.parse(text.removeprefix(_BOM))
    parent: Any = document
    for key in keys[:-1]:
        parent = parent[key]
    try:
        del parent[keys[-1]]
    except TOMLKitError as error:
        raise _no_room(keys) from error
    return _checked(bom + tomlkit.dumps(document), text, keys, None)


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix(_BOM))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(str(error)) from error


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _gap(text: str, newline: str) -> str:
    """Return what stands between the file as it is and a table at its end."""
    if not text.removeprefix(_BOM).strip():
        return ""
    return newline if text.endswith("\n") else newline * 2


def _checked(text: str, before: str, keys: Sequence[str], value: Any) -> str:
    """Return the text if it says what it said before, and the value under the keys."""
    try:
        after = _parse(text)
    except SettingsError as error:
        raise _no_room(keys) from error
    if _with(after, keys, None) != _with(_parse(before), keys, None) or find(text, keys) != value:
        raise _no_room(keys)
    return text


def _with(tree: dict[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a tree with another value under the keys; a table without anything in it counts as absent."""
    inner = _with(tree.get(keys[0], {}), keys[1:], value) if len(keys) > 1 else value
    return {key: child for key, child in {**tree, keys[0]: inner}.items() if child not in (None, {})}


def _no_room(keys: Sequence[str]) -> SettingsError:
    name = ".".join(keys)
    return SettingsError(
        f"{name} cannot be edited there: what it belongs to is written as an inline table",
        next_step=f"write it as tables, [{name}], and run the command again",
    )
