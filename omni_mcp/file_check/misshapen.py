"""What of a file does not have the shape of servers.yaml, in words, and how it is mended."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from omni_mcp.file_check.shape import TABLES, fits
from omni_mcp.servers_file.models import CODE, PRINTS
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.translate.draft import nearest
from omni_mcp.yaml_file import Flaw, KeyPath

_FIXES = {
    "missing": "add it",
    "string_type": "put the value in quotes",
    "model_type": "write `key: value` lines below it",
    "dict_type": "write `key: value` lines below it",
    "mapping_type": "write `key: value` lines below it",
    "tuple_type": "write a list: [one, two]",
    "value_error": "change the row accordingly",
}
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(CODE, "loads code of its own, which would run here with every key in reach"),
    **dict.fromkeys(PRINTS, "has LiteLLM print prompts to where MCP talks"),
}
"""Why some settings of a LiteLLM proxy are none of ours."""
_PLACES = {
    "model_list": "models.model_list",
    "router_settings": "models.router_settings",
    "litellm_settings": "models.litellm_settings",
    "mcp_servers": "executors",
    "mcpServers": "executors",
}
"""Where in our file stands what other files have at their top."""


def misshapen(tree: Any) -> Iterator[Flaw]:
    """Yield what pydantic finds wrong, as flaws with their places and fixes."""
    try:
        ServersFile.model_validate(tree)
    except ValidationError as error:
        yield from map(_flaw, error.errors(include_input=False, include_url=False))


def _flaw(found: ErrorDetails) -> Flaw:
    path = tuple(str(key) for key in found["loc"] if key != "[key]")
    if path[:-1] == ("models", "litellm_settings") and (why := _REFUSED.get(path[-1])):
        return Flaw(
            path=path, what=f"{path[-1]!r} {why}", fix="leave it in the LiteLLM proxy and name that as `gateway`"
        )
    if found["type"] == "extra_forbidden":
        return Flaw(path=path, what=f"{path[-1]!r} is no key here", fix=_other_key(path))
    what = found["msg"].removeprefix("Value error, ")
    return Flaw(path=path, what=what, fix=_FIXES.get(found["type"], "change the value accordingly"))


def _other_key(path: KeyPath) -> str:
    table = next((table for where, table in TABLES.items() if fits(path[:-1], where)), ServersFile)
    keys = [info.alias or name for name, info in table.model_fields.items()]
    if len(path) == 1 and (place := _PLACES.get(path[0])):
        return f"write it as {place}"
    near = nearest(path[-1], keys)
    return f"did you mean {near!r}?" if near else f"the keys here are: {', '.join(keys)}"
