"""One trace follows one task: from the client over a face, the ledger and an engine to its executor and models."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # pylint: disable=no-name-in-module # generated
from opentelemetry.proto.trace.v1.trace_pb2 import Span  # pylint: disable=no-name-in-module # generated
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from omni_mcp.demo.cloud import running_cloud
from omni_mcp.llm.loopback import serving
from tests.integration.house import House, call, ended, house, until
from tests.integration.test_costs import ASSISTANT, directly

SECRET = "the plans of alice"
TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CLIENT}-01"
"""What a client sends in `_meta`; https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers"""


@dataclass
class Collector:
    """Stands in for an OTLP collector: keeps the spans of all requests, by their service."""

    spans: list[Span] = field(default_factory=list[Span])
    services: set[str] = field(default_factory=set[str])
    bodies: list[bytes] = field(default_factory=list[bytes])

    async def take(self, request: Request) -> Response:
        body = await request.body()
        assert request.headers["content-type"] == "application/x-protobuf"
        self.bodies.append(body)
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {each.value.string_value for each in of.resource.attributes if each.key == "service.name"}
            self.spans += [span for scope in of.scope_spans for span in scope.spans]
        return Response(b"", media_type="application/x-protobuf")

    def named(self, name: str) -> Sequence[Span]:
        """Return the spans of that name in the client's trace."""
        return [span for span in self.spans if span.name == name and span.trace_id.hex() == TRACE]


@asynccontextmanager
async def collecting() -> AsyncGenerator[tuple[Collector, str]]:
    collector = Collector()
    async with serving(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])) as port:
        yield collector, f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Traced(House):
    """A house whose processes send their spans somewhere, soon."""

    to: str

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "OTEL_EXPORTER_OTLP_ENDPOINT": self.to, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def told(span: Span) -> Mapping[str, Any]:
    """Return its attributes."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in span.attributes}


async def submitted(client: Client[Any], kind: str) -> str:
    """Have a task done that a client submits in a trace of its own; returns its id."""
    answer = await client.call_tool_mcp(
        "submit_task", {"description": SECRET, "type": kind}, meta={"traceparent": PARENT}
    )
    assert answer.structured_content is not None
    status = await ended(client, answer.structured_content["task_id"])
    assert status["state"] == "completed", status
    return status["task_id"]


AGENTS = ("invoke_agent assistant", "invoke_agent bench", "chat auto")


@pytest.mark.timeout(180)
async def test_one_trace_follows_a_task_from_the_tool_call_to_executor_and_models(tmp_path: Path) -> None:
    async with running_cloud() as cloud, collecting() as (collector, to), house(tmp_path) as plain:
        here = Traced(plain.home, to)
        here.configure(executors={"assistant": ASSISTANT, "bench": here.workshop("traced")}, **directly(cloud))
        async with here.client() as client:
            await call(client, "system_mode", set="degraded")  # found out in mid attempt it might cost a second one
            asked = await submitted(client, "general")
            handed = (await call(client, "task_result", task_id=await submitted(client, "traced")))["text"]
            await until(lambda: all(collector.named(name) for name in AGENTS))
        await until(lambda: len(collector.named("tools/call submit_task")) == 2)  # the end of the face sends the last
    hangs_together(collector, asked)
    # the executor was told the span of the call to it
    sent = collector.named("MCP send tools/call traced")
    assert handed in [f"00-{TRACE}-{span.span_id.hex()}-01" for span in sent]
    assert collector.services == {"omni-mcp"}
    assert not any(SECRET.encode() in body for body in collector.bodies)


def hangs_together(collector: Collector, asked: str) -> None:
    """Assert who is below whom: client, tool call, attempt, then the call to the executor and that to a model."""
    [attempt], [other], [chat] = [collector.named(name) for name in AGENTS]
    submits = collector.named("tools/call submit_task")
    assert {span.parent_span_id.hex() for span in submits} == {CLIENT}
    assert {attempt.parent_span_id, other.parent_span_id} == {span.span_id for span in submits}
    assert chat.parent_span_id == attempt.span_id
    assert [span.parent_span_id for span in collector.named("tools/call run_task")] == [attempt.span_id]
    about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "assistant", "omni.task.attempt": 1}
    assert {**about, "omni.task.id": asked}.items() <= told(attempt).items()
    spent = told(chat)
    assert spent["gen_ai.usage.input_tokens"] > 0
    assert spent["gen_ai.usage.output_tokens"] > 0
    assert (spent["gen_ai.provider.name"], spent["gen_ai.request.model"]) == ("anthropic", "auto")
    assert (spent["gen_ai.response.model"], spent["omni.task.id"]) == ("claude-haiku-4-5", asked)
