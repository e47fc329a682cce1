"""Write what follows from the source: the JSON schema of servers.yaml, pages and tables of docs/, the MCP surface.

`python -m tools.reference` writes them; a test fails when they are not what this makes of the source. The surface
(`tests/data/face.json`) is what clients are told of tools, resources and prompts: a change there is seen in a diff.
"""

import ast
import inspect
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import anyio
from fastmcp import Client
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from omni_mcp.faces.mcp import create_face
from omni_mcp.file_check.shape import TABLES
from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.service.service import Service
from tools.pages import cli_text, errors_text, tools_text

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "omni_mcp" / "servers.schema.json"
DOCS = ROOT / "docs" / "settings.md"
FACE = ROOT / "tests" / "data" / "face.json"

VARIABLE: Mapping[str, Any] = {"type": "string", "pattern": r"\$\{"}
"""A variable may stand wherever a number or a word of a list does."""

PAGE = {".".join(path) or "servers.yaml": table for path, table in TABLES.items()}
"""The tables of the page by their names: `executors.*` is any row of executors."""


def _explain() -> None:
    """Give each key the words that stand below it in the source; at each start of ours they would cost a twentieth."""
    for table in TABLES.values():
        words = {key: text for kind in reversed(table.mro()) for key, text in _said_in(kind)}
        for key, info in table.model_fields.items():
            info.description = words.get(key)
    for table in reversed(list(TABLES.values())):  # the whole file last, of which the others are parts
        table.model_rebuild(force=True)


def _said_in(table: type) -> Iterator[tuple[str, str]]:
    if not issubclass(table, Row):
        return
    [source] = ast.parse(inspect.getsource(table)).body
    for pair in pairwise(cast("ast.ClassDef", source).body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str() as text)):
                yield key, inspect.cleandoc(text)
            case _:
                pass


_explain()


def schema_text() -> str:
    """Return the JSON schema of servers.yaml."""
    schema = ServersFile.model_json_schema()
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_variables(schema)}
    return json.dumps({**whole, "title": "servers.yaml of Omni-Orchestrator"}, ensure_ascii=False, indent=2) + "\n"


def _with_variables(value: Any, key: str = "") -> Any:
    """Return a schema in which a variable may stand for a number, a truth value or a word of a list."""
    if isinstance(value, list):
        return [_with_variables(child) for child in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    tree = cast("dict[str, Any]", value)
    inner = {name: _with_variables(child, name) for name, child in tree.items()}
    if key != "$defs" and (tree.get("type") in ("integer", "number", "boolean") or "enum" in tree):
        words = {name: inner.pop(name) for name in ("title", "description", "default") if name in inner}
        return {"anyOf": [inner, dict(VARIABLE)], **words}
    return inner


def docs_text(text: str) -> str:
    """Return the page with its tables written anew: each stands between `<!-- keys of X -->` and `<!-- end -->`."""
    return re.sub(r"(<!-- keys of (\S+) -->\n).*?(<!-- end -->)", _filled, text, flags=re.DOTALL)


def _filled(found: re.Match[str]) -> str:
    lines = "\n".join(_rows(PAGE[found[2]]))
    return f"{found[1]}\n| key | value | default | meaning |\n|---|---|---|---|\n{lines}\n\n{found[3]}"


def _rows(table: type[BaseModel]) -> Iterator[str]:
    properties = table.model_json_schema(by_alias=False)["properties"]
    for name, info in table.model_fields.items():
        cells = (f"`{info.alias or name}`", _kind(properties[name]), _default(info), _in_one_line(info.description))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _in_one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what a value may be, in a word or two."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(map(_word, choices)))


def _word(schema: Mapping[str, Any]) -> str:
    if words := schema.get("enum"):
        return ", ".join(f"`{word}`" for word in words)
    if "$ref" in schema:
        return "`attach`, `resume`, `retry`, `ask`" if schema["$ref"].endswith("/Recovery") else "see below"
    kinds = {
        "string": "text",
        "integer": "whole number",
        "array": "list",
        "object": "mapping",
        "boolean": "true, false",
    }
    word: str = schema["type"]
    return kinds.get(word, word)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default_factory is not None:
        make: Any = info.default_factory
        return "see below" if make() else "none"
    default: Any = info.default
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return _listed(cast("tuple[Any, ...]", default))
    return "see below" if isinstance(default, BaseModel) else f"`{json.dumps(default)}`".replace('"', "")


def _listed(values: tuple[Any, ...]) -> str:
    words = [f"`{value}`" for value in values if isinstance(value, str)]
    return ", ".join(words) or "see below"


@asynccontextmanager
async def nobody() -> AsyncGenerator[Any]:
    """Stand in for a service that is not asked."""
    yield Service.__new__(Service)


async def face_text() -> str:
    """Return what a client is told of tools, resources and prompts."""
    async with Client(face := create_face(nobody)) as client:
        told: Mapping[str, Any] = {
            "instructions": face.instructions,
            "tools": await client.list_tools(),
            "resources": await client.list_resources(),
            "resource_templates": await client.list_resource_templates(),
            "prompts": await client.list_prompts(),
        }
    rows = {kind: _rows_of(each) if isinstance(each, list) else each for kind, each in told.items()}
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _rows_of(models: Any) -> list[Any]:
    return [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in models]


def pages(face: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the pages of docs/ that are written as a whole, by name."""
    return {"cli.md": cli_text(), "tools.md": tools_text(face), "errors.md": errors_text()}


def main() -> None:
    """Write them."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    DOCS.write_text(docs_text(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
    FACE.write_text(face := anyio.run(face_text), encoding="utf-8")
    for name, text in pages(json.loads(face)).items():
        (DOCS.parent / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
