"""Every key of every table: misspelt, it is told; documented, it is in the schema and on the page."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from omni_mcp.file_check.shape import TABLES
from omni_mcp.home import Home
from omni_mcp.settings import load
from omni_mcp.yaml_file import KeyPath
from tools.reference import DOCS, PAGE, SCHEMA, docs_text, schema_text

CASES = [(path, info.alias or name) for path, table in TABLES.items() for name, info in table.model_fields.items()]
LONG = [(path, key) for path, key in CASES if len(key) > 2]
"""Half of `to` may be anything: there all keys of the table are told instead."""

LISTS = {("routing", "rules"), ("notify", "webhooks"), ("notify", "openclaw"), ("memory", "prepare")}


def misspelt(key: str) -> Collection[str]:
    """Return what a hand makes of a key: two letters swapped, one doubled, one left out, another case or dash."""
    middle = len(key) // 2
    swapped = key[: middle - 1] + key[middle] + key[middle - 1] + key[middle + 1 :]
    doubled = key[:middle] + key[middle] + key[middle:]
    shorter = key[:middle] + key[middle + 1 :] if len(key) > 4 else key
    return {swapped, doubled, shorter, key.capitalize(), key.replace("_", "-")} - {key}


def tree_with(path: KeyPath, key: str) -> Any:
    """Return a tree in which a key stands at a place; `*` is the first entry of a list, else any name."""
    tree: Any = {key: {}}
    for part in reversed(path):
        tree = {part: tree} if part != "*" else [tree] if path[:2] in LISTS else {"x": tree}
    return tree


@pytest.mark.parametrize(("path", "key"), LONG, ids=[".".join((*path, key)) for path, key in LONG])
def test_every_key_misspelt_gets_the_one_that_was_meant_named(tmp_path: Path, path: KeyPath, key: str):
    for wrong in misspelt(key):
        tree: dict[str, Any] = {"limits": {}, **tree_with(path, wrong)}
        (tmp_path / "servers.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        found = [each for each in load(Home(tmp_path)).problems if re.search(rf"[ .]{wrong}$", each.where)]
        assert [each.fix for each in found] == [f"did you mean {key!r}?"], wrong


def test_every_key_says_what_it_means():
    fields = {f"{name}.{key}": field for name, table in PAGE.items() for key, field in table.model_fields.items()}
    assert [name for name, field in fields.items() if not field.description] == []


def test_the_schema_that_is_shipped_is_the_one_of_the_models():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "renew it: make reference"


def test_the_page_of_settings_has_every_key_as_it_is():
    text = DOCS.read_text(encoding="utf-8")
    assert text == docs_text(text), "renew it: make reference"
    assert {name for name in PAGE if f"<!-- keys of {name} -->" in text} == set(PAGE)


def test_the_schema_lets_a_variable_stand_for_a_number_and_for_a_word():
    definitions = json.loads(schema_text())["$defs"]
    assert {"pattern": r"\$\{", "type": "string"} in definitions["Limits"]["properties"]["max_attempts"]["anyOf"]
    assert definitions["ExecutorRow"]["properties"]["permissions"]["anyOf"][1] == {"pattern": r"\$\{", "type": "string"}
    assert "for" in definitions["Models"]["properties"]
