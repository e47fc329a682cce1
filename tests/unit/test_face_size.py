"""What the list of tools costs a model that connects: measured, so that nobody adds to it unseen."""

from fastmcp import Client

from omni_mcp.faces.mcp import create_face
from omni_mcp.views.error import ErrorView
from tools.reference import FACE, face_text, nobody

CHARACTERS_A_TOKEN = 3.9
"""As counted for this list: 15,746 characters are 3,950 tokens of gpt-4o; claude's own tokenizer is not public."""
TOOLS = 8
MOST = 4500
"""Tokens of all tools with their schemas."""


async def test_the_surface_is_the_one_on_record() -> None:
    assert FACE.read_text(encoding="utf-8") == await face_text(), "if that is meant, renew it: make reference"


async def test_the_list_of_tools_stays_small() -> None:
    async with Client(create_face(nobody)) as client:
        listed = await client.list_tools_mcp()
    size = len(listed.model_dump_json(exclude_none=True, by_alias=True))
    assert size / CHARACTERS_A_TOKEN < MOST
    assert len(listed.tools) == TOOLS
    assert all(len((tool.description or "").encode()) < 2048 for tool in listed.tools)


async def test_a_refusal_is_within_the_output_schema_of_every_tool() -> None:
    async with Client(create_face(nobody)) as client:
        listed = await client.list_tools_mcp()
    assert len(listed.tools) == TOOLS
    error = set(ErrorView.model_fields)
    for tool in listed.tools:
        schema = tool.output_schema or {}
        assert set(schema.get("required", ())) <= error, tool.name
        assert schema.get("additionalProperties", True) is True, tool.name
