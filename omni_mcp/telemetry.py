"""Traces by OpenTelemetry: what is exported, what our spans are called, and how a trace crosses the ledger.

The spans of a tool call and of a call to an executor are those of FastMCP and the MCP SDK (conventions for MCP,
https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/; the context travels in `_meta`, SEP-414). Ours are the attempt
(`invoke_agent`) and the model call of the relay (`chat`), by the conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). None carries a text of a task, prompt or answer.

Without an SDK, which only `exporting` loads, a span costs some microseconds and leads nowhere.
"""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from omni_mcp import __version__
from omni_mcp.task import Failed, Outcome, Task, Usage

logger = logging.getLogger(__name__)

SERVICE = "omni-mcp"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Environment variables that say where to; https://opentelemetry.io/docs/specs/otel/protocol/exporter/"""

GOODBYE = 2.0
"""Seconds that the last spans may take at the end of a process: a collector that is gone must not hold it up."""

_W3C = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(SERVICE, __version__)


@contextmanager
def exporting() -> Generator[None]:
    """Send the spans of this process by OTLP over HTTP while the body runs, if the environment says where to.

    To be entered once in a process, after it has forked for the last time: a thread sends them.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        said = "no traces are sent: pip install 'omni-mcp[otel]', or unset %s"
        logger.warning(said, " and ".join(ENDPOINTS), extra={"action": "traces_off"})
        yield
        return
    provider = TracerProvider(resource=Resource.create(_about()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        last = Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(GOODBYE)


def _about() -> dict[str, str]:
    """Return what we say of ourselves, where the environment says nothing else."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {"service.version": __version__} if named else {"service.name": SERVICE, "service.version": __version__}


def traceparent() -> str | None:
    """Return the span at hand as W3C `traceparent`, ours or that of a client that sent one; None outside of any."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent")


def _within(parent: str | None) -> Context | None:
    """Return what a span is begun in; None: in that at hand."""
    return None if parent is None else _W3C.extract({"traceparent": parent})


class AttemptSpan:
    """The span of an attempt, from its claim to the end of the run."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, outcome: Outcome) -> None:
        """Say how the run ended."""
        if isinstance(outcome, Failed):
            _fail(self._span, outcome.kind)


@contextmanager
def attempt(task: Task, *, executor: str, model: str | None) -> Generator[AttemptSpan]:
    """Have the body be a span of the trace that the task was submitted in."""
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": executor,
        "omni.task.id": task.id,
        "omni.task.attempt": task.attempt,
    }
    if model is not None:
        attributes["gen_ai.request.model"] = model
    with _tracer.start_as_current_span(
        f"invoke_agent {executor}",
        context=_within(task.spec.trace),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield AttemptSpan(span)
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise


class ModelSpan:
    """The span of a model call."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def failed(self, kind: str) -> None:
        """Say why it failed."""
        _fail(self._span, kind)

    def over(self, usage: Usage) -> None:
        """End it with what is known of its use."""
        known = {
            "gen_ai.provider.name": usage.provider,
            "gen_ai.response.model": usage.model,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "omni.cost_usd": usage.cost_usd,
        }
        self._span.set_attributes({name: value for name, value in known.items() if value is not None})
        self._span.end()


def model_call(usage: Usage, *, parent: str | None) -> ModelSpan:
    """Begin the span of a model call that an attempt makes; `parent` is the attempt's span."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": usage.model,
        "omni.task.id": usage.task_id,
        "omni.task.attempt": usage.attempt,
        "omni.endpoint": usage.endpoint or "",
    }
    return ModelSpan(
        _tracer.start_span(f"chat {usage.model}", context=_within(parent), kind=SpanKind.CLIENT, attributes=attributes)
    )


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
