"""`GET /metrics` for Prometheus: what is counted of the ledger, the mode and the engine, taken when it is asked for.

Numbers and names of executors, models and ends; no id, no text of a task, nobody who called.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import anyio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omni_mcp import __version__
from omni_mcp.decide.modes.state import in_force
from omni_mcp.errors import OmniError
from omni_mcp.faces.auth import Bearers
from omni_mcp.faces.caller import METRICS, Bearer
from omni_mcp.faces.status import status_of
from omni_mcp.ledger.base import ExecutorHealth
from omni_mcp.ledger.measures import Calls, Measures, Took
from omni_mcp.ledger.owners import holder
from omni_mcp.service.service import Service
from omni_mcp.standing import state_of
from omni_mcp.task import TERMINAL, Mode, TaskState
from omni_mcp.views.error import error_view

PATH = "/metrics"
KEPT = 10.0
"""Seconds for which one counting serves all who ask."""
TEXT = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Collector):
    """What one answer tells."""

    at: datetime
    measures: Measures
    mode: Mode
    engine: bool
    health: Sequence[ExecutorHealth]

    def collect(self) -> Iterable[Metric]:
        """Yield all families of numbers."""
        yield from self._system()
        yield from _tasks(self.measures, self.at)
        yield from _calls(self.measures.calls)
        still = "Model calls that run, or that a crash cut off"
        yield _gauge("omni_model_calls_open", still, [], [((), self.measures.calls_open)])
        yield _took(self.measures.took)

    def _system(self) -> Iterable[Metric]:
        yield _gauge("omni_build", "The release; always 1", ["version"], [((__version__,), 1)])
        modes = [((mode,), float(mode is self.mode)) for mode in Mode]
        yield _gauge("omni_mode", "1 for the mode in force", ["mode"], modes)
        yield _gauge("omni_engine_up", "1 while an engine holds the home", [], [((), float(self.engine))])
        usable = [((health.name,), float(health.usable)) for health in self.health]
        yield _gauge("omni_executor_usable", "1 while an executor was last seen usable", ["executor"], usable)


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _tasks(found: Measures, now: datetime) -> Iterable[Metric]:
    lines = [((each.state, each.waiting_for or "", each.executor), each.count) for each in found.open]
    yield _gauge("omni_tasks_open", "Open tasks", ["state", "waiting_for", "executor"], lines)
    over = [((state,), found.over.get(state, 0)) for state in sorted(TERMINAL)]
    yield _gauge("omni_tasks_over", "Tasks that are over and still kept", ["state"], over)
    idle = [each.oldest for each in found.open if each.state is TaskState.IDLE and each.oldest is not None]
    age = max(0.0, (now - min(idle)).total_seconds()) if idle else 0.0
    yield _gauge("omni_queue_oldest_seconds", "Age of the task that has been idle longest", [], [((), age)])
    yield _gauge("omni_attempts", "Attempts of kept tasks", ["executor", "end"], found.attempts.items())


def _calls(calls: Sequence[Calls]) -> Iterable[Metric]:
    labels = ["executor", "model"]

    def each(of: Callable[[Calls], float]) -> Samples:
        return [((line.executor, line.model), of(line)) for line in calls]

    yield _counter("omni_model_calls", "Model calls that are over", labels, each(lambda line: line.calls))
    yield _counter("omni_cost_usd", "What they cost, as far as known, in USD", labels, each(lambda line: line.usd))
    unknown = "Those of them whose cost is not known"
    yield _counter("omni_model_calls_unknown_cost", unknown, labels, each(lambda line: line.unknown))
    tokens = [
        ((line.executor, line.model, kind), count)
        for line in calls
        for kind, count in (("input", line.input_tokens), ("output", line.output_tokens))
    ]
    yield _counter("omni_tokens", "Tokens that they used", [*labels, "kind"], tokens)


def _took(took: Took) -> Metric:
    buckets = [(str(upto), float(count)) for upto, count in sorted(took.upto.items())]
    family = HistogramMetricFamily("omni_model_call_seconds", "How long model calls took")
    family.add_metric([], [*buckets, ("+Inf", float(took.count))], took.seconds)
    return family


class Meter:
    """Answers `/metrics`; where tokens are wanted, to who has the scope `metrics:read`."""

    def __init__(self, service: Callable[[], Service], bearers: Bearers | None) -> None:
        self._service = service
        self._bearers = bearers
        self._counting = anyio.Lock()
        self._counted: tuple[float, Measures] | None = None
        """When the ledger was counted last, and what that came to."""

    async def take(self, request: Request) -> Response:
        """Answer one scrape."""
        try:
            if (refused := await self._refused(request)) is not None:
                return refused
            seen = await self._seen()
        except OmniError as error:
            return JSONResponse(error_view(error).shown(), status_of(error), TEXT)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(seen), headers={**TEXT, "content-type": kind})

    async def _refused(self, request: Request) -> Response | None:
        """Return the refusal of who shows no good token. Raises Forbidden for one without the scope."""
        if self._bearers is None:
            guarded = self._service().settings().servers.http.guarded
            return _unauthorised() if guarded else None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = await self._bearers.verify_token(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            return _unauthorised()
        Bearer.of(found).require(PATH, METRICS)
        return None

    async def _seen(self) -> Seen:
        service = self._service()
        ledger, now = service.ledger, service.clock.now()
        return Seen(
            at=now,
            measures=await self._measures(),
            mode=in_force(state_of(await ledger.mode(), now), now),
            engine=holder(service.settings().home.engine_lock) is not None,
            health=list((await ledger.health()).values()),
        )

    async def _measures(self) -> Measures:
        """Count the ledger, at most once in a while: it reads all books, and whoever else reads waits meanwhile."""
        async with self._counting:
            if self._counted is None or anyio.current_time() >= self._counted[0] + KEPT:
                self._counted = (anyio.current_time(), await self._service().ledger.measures())
            return self._counted[1]


def _unauthorised() -> Response:
    said = {"error": "unauthorized", "next_step": "send Authorization: Bearer with a token that has metrics:read"}
    return JSONResponse(said, 401, {**TEXT, "www-authenticate": "Bearer"})
