"""A proxy's own LiteLLM file, changed so that it tries the layers of a model in their order. Pure; comments stay.

What LiteLLM 1.106 does with the file as people write it (seen): rows of one name without `order` are shuffled,
`model_info.fallback_order` is no field of it, each retry asks the same layer again, and a layer that is down is asked
five times a minute before it rests for five seconds.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from omni_mcp.errors import SettingsError
from omni_mcp.translate.model_rows import orders_of
from omni_mcp.yaml_file import Document, read_yaml

ROUTER: Mapping[str, int] = {"num_retries": 0, "allowed_fails": 1, "cooldown_time": 30}
"""What goes with an order: no second call of a layer that failed, rest after two failures, for 30 s at least."""

SECTION = "router_settings"


def in_order(text: str, path: Path) -> str:
    """Return the text of the file with an `order` for each layer, and a Router that keeps to it.

    A text that has both comes back as it is. Raises SettingsError for what cannot be read, or not be changed by lines.
    """
    document = read_yaml(text, path)
    lines = [*text.removesuffix("\n").split("\n"), ""]
    wanted = {**_orders(document), **_settings(document)}
    if not wanted:
        return text
    for at in sorted(wanted, key=document.line, reverse=True):  # from below, so that lines keep their numbers
        _write(lines, document, at, wanted[at])
    changed = "\n".join(lines)
    if any(_value(read_yaml(changed, path).tree, at) != value for at, value in wanted.items()):
        raise _by_hand(path, SECTION)
    return changed


At = tuple[str, ...]


def _orders(document: Document) -> Mapping[At, int]:
    rows: Any = document.tree.get("model_list")
    found = orders_of(cast("list[Any]", rows) if isinstance(rows, list) else [])
    return {("model_list", str(place), "litellm_params", "order"): order for place, order in found.items()}


def _settings(document: Document) -> Mapping[At, int]:
    """Return what the Router lacks; a cool-down that is longer stays. `litellm_settings` may say the same."""
    wanted = {(SECTION, key): value for key, value in ROUTER.items() if not _keeps(document, SECTION, key)}
    if _value(document.tree, ("litellm_settings", "num_retries")):
        wanted["litellm_settings", "num_retries"] = 0
    return wanted


def _keeps(document: Document, section: str, key: str) -> bool:
    said = _value(document.tree, (section, key))
    if not isinstance(said, int | float):
        return False
    return said >= ROUTER[key] if key == "cooldown_time" else said <= ROUTER[key]


def _write(lines: list[str], document: Document, at: At, value: int) -> None:
    """Write one value: in the place of the one that is there, before the first key of its table, or as a new table."""
    *table, key = at
    inside = _value(document.tree, tuple(table))
    if not inside:
        lines[len(lines) - 1 : len(lines) - 1] = _new_table(lines, table[0], key, value)
        return
    there = key if key in inside else next(iter(inside))
    number = document.line((*table, there)) - 1
    block, braces = rf"^(\s*){re.escape(there)}:", rf"\{{\s*{re.escape(there)}:"
    old = lines[number]
    if key in inside:
        lines[number] = re.sub(rf"(\b{re.escape(key)}:\s*)[^\s,}}#]+", rf"\g<1>{value}", old, count=1)
    elif found := re.match(block, old):
        lines.insert(number, f"{found[1]}{key}: {value}")
    elif len(re.findall(braces, old)) == 1:
        lines[number] = re.sub(braces, f"{{{key}: {value}, {there}:", old)
    else:
        raise _by_hand(Path(document.name), ".".join(at))


def _new_table(lines: list[str], table: str, key: str, value: int) -> Iterator[str]:
    """Yield a table for the end of the file, or its next line where it has just been begun there."""
    if f"{table}:" not in lines:
        yield f"{table}:"
    yield f"  {key}: {value}"


def _value(tree: Any, at: At) -> Any:
    for key in at:
        if isinstance(tree, list):
            tree = cast("list[Any]", tree)[int(key)]
        elif isinstance(tree, Mapping):
            tree = cast("Mapping[str, Any]", tree).get(key)
        else:
            return None
    return tree


def _by_hand(path: Path, where: str) -> SettingsError:
    return SettingsError(f"{path.name}: {where} cannot be changed by lines", next_step="write it there by hand")
