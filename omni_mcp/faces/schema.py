"""Output schemas that cost a model little: pydantic's own, without titles, nulls and references."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from omni_mcp.views.view import View

DROPPED = frozenset({"title", "default", "description", "format", "required", "$defs", "additionalProperties"})


def output_schema(view: type[View]) -> dict[str, Any]:
    """Return the JSON schema of what `view.shown()` gives: empty fields are absent, so nothing is null.

    No field is required, because it holds for refusals, too: clients built on the TypeScript SDK check them against it,
    and would show a model their own complaint in place of ours (OpenClaw 2026.9.6).
    """
    whole = view.model_json_schema()
    schema = _lean(whole, whole.get("$defs", {}))
    schema["properties"].setdefault("mode", {"type": "string"})  # only while the mode is not normal
    return schema


def _lean(schema: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _lean(named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        ways: list[dict[str, Any]] = schema["anyOf"]
        return _lean(next(way for way in ways if way.get("type") != "null"), named)
    lean = {key: value for key, value in schema.items() if key not in DROPPED}
    each = partial(_lean, named=named)
    if "properties" in lean:
        lean["properties"] = {name: each(inner) for name, inner in lean["properties"].items()}
    if "items" in lean:
        lean["items"] = each(lean["items"])
    return lean
