"""What the other scenarios name: tools, resources and prompts that only they call."""

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts import Message, PromptResult
from fastmcp.resources import ResourceContent, ResourceResult
from fastmcp.tools.base import Tool, ToolResult
from mcp import MCPError
from mcp.types import (
    AudioContent,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from mcp_types.jsonrpc import MISSING_REQUIRED_CLIENT_CAPABILITY
from pydantic import Field

PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
).decode()
WAV = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0@\x1f\0\0\x01\0\x08\0data\0\0\0\0").decode()
NAMED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
IMAGE = ImageContent(type="image", data=PNG, mime_type="image/png")
DIALECT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
TITLED = [{"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second", "Third"), 1)]
ENUMS = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}


def said(text: str) -> ToolResult:
    return ToolResult(content=[TextContent(type="text", text=text)])


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def form(message: str, schema: Mapping[str, Any] | None = None) -> InputRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=dict(schema or NAMED)))


def sampling(text: str, limit: int = 100) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=limit))


def add_content(face: FastMCP[Any]) -> None:
    """Add the tools that only answer."""

    @face.tool
    async def test_simple_text() -> ToolResult:
        """Serve the scenario that names it."""
        return said("This is a simple text response for testing.")

    @face.tool
    async def test_image_content() -> ToolResult:
        """Serve the scenario that names it."""
        return ToolResult(content=[IMAGE])

    @face.tool
    async def test_audio_content() -> ToolResult:
        """Serve the scenario that names it."""
        return ToolResult(content=[AudioContent(type="audio", data=WAV, mime_type="audio/wav")])

    @face.tool
    async def test_embedded_resource() -> ToolResult:
        """Serve the scenario that names it."""
        return ToolResult(content=[embedded("test://embedded-resource", "This is an embedded resource content.")])

    @face.tool
    async def test_multiple_content_types() -> ToolResult:
        """Serve the scenario that names it."""
        data = json.dumps({"test": "data", "value": 123})
        mixed = embedded("test://mixed-content-resource", data, "application/json")
        return ToolResult(content=[TextContent(type="text", text="Multiple content types test:"), IMAGE, mixed])

    @face.tool
    async def test_error_handling() -> ToolResult:
        """Serve the scenario that names it."""
        raise ToolError("This tool intentionally returns an error for testing")

    face.add_tool(test_header_argument)
    dialect = Tool.from_function(_dialect, name="json_schema_2020_12_tool")
    face.add_tool(dialect.model_copy(update={"parameters": DIALECT}))


async def test_header_argument(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> ToolResult:
    """Serve the scenario that names it."""
    return said(region)


async def _dialect() -> str:
    """Serve the scenario that names it."""
    return "ok"


def add_live(face: FastMCP[Any]) -> None:  # noqa: C901 - a list, one after the other
    """Add the tools that say something, or ask, before they answer."""

    @face.tool
    async def test_tool_with_logging(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(line)
        return said("logged")

    @face.tool
    async def test_logging_tool(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        await ctx.info("said while at work")
        return said("logged")

    @face.tool
    async def test_tool_with_progress(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
        return said("progressed")

    @face.tool
    async def test_reconnection(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        await ctx.close_sse_stream()
        return said("done")

    @face.tool
    async def test_sampling(prompt: str, ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        answer = await ctx.session.send_request(sampling(prompt), CreateMessageResult)
        return said(f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else ''}")

    async def asked(ctx: Context, message: str, fields: Mapping[str, Any], required: list[str]) -> ElicitResult:
        schema = {"type": "object", "properties": dict(fields), "required": required}
        return await ctx.session.elicit_form(message, schema, ctx.request_id)

    @face.tool
    async def test_elicitation(message: str, ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        fields = {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        }
        answer = await asked(ctx, message, fields, list(fields))
        return said(f"User response: action: {answer.action}, content: {answer.content}")

    @face.tool
    async def test_elicitation_sep1034_defaults(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        answer = await asked(ctx, "Please review", DEFAULTS, [])
        return said(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")

    @face.tool
    async def test_elicitation_sep1330_enums(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        answer = await asked(ctx, "Please choose", ENUMS, [])
        return said(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")

    @face.tool
    async def test_streaming_elicitation(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        return said("thanks") if ctx.input_responses else InputRequiredResult(input_requests={"name": form("Name?")})

    @face.tool
    async def test_missing_capability(ctx: Context) -> ToolResult:
        """Serve the scenario that names it."""
        declared = ctx.session.client_capabilities
        if declared is None or declared.sampling is None:
            raise MCPError(
                code=MISSING_REQUIRED_CLIENT_CAPABILITY,
                message="sampling is needed",
                data={"requiredCapabilities": {"sampling": {}}},
            )
        return said("declared")


def add_rounds(face: FastMCP[Any]) -> None:  # noqa: C901 - a list, one after the other
    """Add the tools that ask by what they return."""

    @face.tool
    async def test_input_required_result_elicitation(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        answer = (ctx.input_responses or {}).get("user_name")
        if isinstance(answer, ElicitResult) and answer.content:
            return said(f"Hello, {answer.content['name']}!")
        return InputRequiredResult(input_requests={"user_name": form("What is your name?")})

    @face.tool
    async def test_input_required_result_sampling(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        answer = (ctx.input_responses or {}).get("capital_question")
        if isinstance(answer, CreateMessageResult) and isinstance(answer.content, TextContent):
            return said(answer.content.text)
        question = sampling("What is the capital of France?")
        return InputRequiredResult(input_requests={"capital_question": question})

    @face.tool
    async def test_input_required_result_list_roots(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        answer = (ctx.input_responses or {}).get("client_roots")
        if isinstance(answer, ListRootsResult):
            return said(", ".join(str(root.uri) for root in answer.roots))
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})

    async def confirmed(ctx: Context) -> Any:
        """Serve the scenarios that name it."""
        if ctx.input_responses and ctx.request_state == "kept":
            return said("state-ok")
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
        return InputRequiredResult(input_requests={"confirm": form("Please confirm", schema)}, request_state="kept")

    face.tool(confirmed, name="test_input_required_result_request_state")
    face.tool(confirmed, name="test_input_required_result_tampered_state")

    @face.tool
    async def test_input_required_result_multiple_inputs(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        asks = {
            "user_name": form("What is your name?"),
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": ListRootsRequest(),
        }
        if set(asks) <= set(ctx.input_responses or {}):
            return said("all of it")
        return InputRequiredResult(input_requests=asks, request_state="three")

    @face.tool
    async def test_input_required_result_multi_round(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        answers = ctx.input_responses or {}
        if ctx.request_state == "two" and "step2" in answers:
            return said("both rounds")
        if ctx.request_state == "one" and "step1" in answers:
            schema = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
            asks = {"step2": form("Step 2: What is your favorite color?", schema)}
            return InputRequiredResult(input_requests=asks, request_state="two")
        return InputRequiredResult(input_requests={"step1": form("Step 1: What is your name?")}, request_state="one")

    @face.tool
    async def test_input_required_result_capabilities(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        declared = ctx.session.client_capabilities
        asks: dict[str, Any] = {}
        if declared is not None and declared.elicitation is not None:
            asks["user_name"] = form("What is your name?")
        if declared is not None and declared.sampling is not None:
            asks["greeting"] = sampling("Generate a greeting", 50)
        return InputRequiredResult(input_requests=asks) if asks and not ctx.input_responses else said("done")


def add_resources(face: FastMCP[Any]) -> None:
    """Add what is read."""

    @face.resource("test://static-text", mime_type="text/plain")
    async def static_text() -> str:
        """Serve the scenario that names it."""
        return "This is the content of the static text resource."

    @face.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> ResourceResult:
        """Serve the scenario that names it."""
        return ResourceResult([ResourceContent(base64.b64decode(PNG), mime_type="image/png")])

    @face.resource("test://watched-resource", mime_type="text/plain")
    async def watched() -> str:
        """Serve the scenario that names it."""
        return "watched"

    @face.resource("test://template/{id}/data", mime_type="application/json")
    async def template(id: str) -> str:  # noqa: A002 - the scenario's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def add_completion(face: FastMCP[Any]) -> None:
    """Complete the argument of a prompt."""

    @face.completion
    async def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return [city for city in ("paris", "park", "party") if city.startswith(argument.value)]


def add_prompts(face: FastMCP[Any]) -> None:
    """Add what is prompted."""

    @face.prompt
    async def test_simple_prompt() -> str:
        """Serve the scenario that names it."""
        return "This is a simple prompt for testing."

    @face.prompt
    async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Serve the scenario that names it."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @face.prompt
    async def test_prompt_with_embedded_resource(resourceUri: str) -> PromptResult:  # noqa: N803
        """Serve the scenario that names it."""
        resource = embedded(resourceUri, "Embedded resource content for testing.")
        return PromptResult([Message(resource), Message("Please process the embedded resource above.")])

    @face.prompt
    async def test_prompt_with_image() -> PromptResult:
        """Serve the scenario that names it."""
        return PromptResult([Message(IMAGE), Message("Please analyze the image above.")])

    @face.prompt
    async def test_input_required_result_prompt(ctx: Context) -> Any:
        """Serve the scenario that names it."""
        answer = (ctx.input_responses or {}).get("user_context")
        if isinstance(answer, ElicitResult) and answer.content:
            return f"In the context of {answer.content['context']}"
        schema = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
        asks = {"user_context": form("What context should the prompt use?", schema)}
        return InputRequiredResult(input_requests=asks)


def add_fixtures(face: FastMCP[Any]) -> None:
    """Add all of them."""
    add_content(face)
    add_live(face)
    add_rounds(face)
    add_resources(face)
    add_prompts(face)
    add_completion(face)
