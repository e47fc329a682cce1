"""What the engine and an adapter say to each other over MCP.

An adapter is an MCP server with three tools and perhaps a fourth, each (but `health`) with one argument `request`:
`run_task(RunRequest) -> RunResult`, `cancel(RunRef) -> CancelResult`, `health() -> Health` and, where the run
outlives the adapter (`recovery: attach`), `attach(RunRequest) -> RunResult`. Progress is MCP progress; its message is
shown to people. A question in the middle of a run is an MCP elicitation (or, in the newer era, `input_required`), whose
`_meta` says under `QUESTION` what is asked for. Anybody can write one, in any language; docs/executors.md shows how.

`attach` is called instead of `run_task` when an earlier attempt was told to run this `run_id` and we never heard how
that ended. It takes the whole request, because the run may never have been accepted: one that runs is waited for, one
that is over is reported, one that was never accepted is begun, and what cannot be told is a failure that says `lives`.
Once an end was reported the next attempt is a `run_task` with a new `run_id`, and may go to another executor. A call of
`run_task` or `attach` that MCP cancels lets go of such a run; only `cancel` stops it.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from omni_mcp.question import Action, QuestionKind
from omni_mcp.task import FailureClass

RUN_TASK, ATTACH, CANCEL, HEALTH = "run_task", "attach", "cancel", "health"

OWNER_MARK = "OMNI_OWNER"
"""Environment variable that every child of an engine inherits: the engine's owner id; what a sweep looks for."""

TASK_MARK = "OMNI_TASK"
"""Environment variable that every process of a task inherits: the task id. Its sweep ends one task's tree."""

GATEWAY_URL, GATEWAY_TOKEN, GATEWAY_HEADERS = "OMNI_GATEWAY_URL", "OMNI_GATEWAY_TOKEN", "OMNI_GATEWAY_HEADERS"
"""Environment variables by which an adapter for a gateway elsewhere gets what no command line may show; the headers
are a JSON object."""


QUESTION = "omni-mcp/question"
"""Key in the `_meta` of an elicitation; its value is a `QuestionMark`."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Endpoint(_Wire):
    """Where the model calls of an attempt go: the engine's relay with a token of this attempt."""

    base_url: str
    """Without a path: `/v1/messages` and `/v1/chat/completions` are below it."""
    token: SecretStr
    """Good for this attempt only; never a provider's key."""


class QuestionMark(_Wire):
    """What an elicitation may say of itself."""

    task_id: str | None = None
    """Whose question it is; needed where several runs share a session."""
    kind: QuestionKind = QuestionKind.INPUT


class Answered(_Wire):
    """A question of an earlier attempt that was answered after its run had ended."""

    text: str
    action: Action
    content: dict[str, Any] | None = None


class RunRef(_Wire):
    """Names a run of a task."""

    task_id: str
    attempt: int
    run_id: str


class RunRequest(RunRef):
    """One attempt at a task."""

    description: str
    """What is to be done; for an adapter with what is remembered of earlier tasks below it, marked as data."""
    memory: str = ""
    """The same of earlier tasks, for an executor that is one tool; it never goes over the wire by itself."""
    cwd: str
    """An existing folder that the task may work in."""
    model: str | None = None
    endpoint: Endpoint | None = None
    """None: the executor uses a login of its own."""
    resume: bool = False
    """True: an earlier attempt had this `run_id`; go on in its session if it exists, else begin."""
    snapshot: dict[str, Any] | None = None
    """The checkpoint of the earlier attempt."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the caller lowered (`permissions`, `worktree`, `max_turns`); what an adapter cannot keep it refuses (`task`)
    before anything runs."""
    commands: tuple[str, ...] | None = None
    """All shell commands that this run may use, each as it stands here; None: it is up to the executor's row."""
    answers: tuple[Answered, ...] = ()
    """What was answered since the earlier attempt ended; asked the same again, it is answered so at once."""
    timeout: float = 3600
    """Seconds; the adapter ends the run itself a little before."""

    def wire(self) -> dict[str, Any]:
        """Return it as tool arguments, the endpoint's token in clear (it travels only through the pipe)."""
        payload = self.model_dump(mode="json", exclude={"endpoint", "memory"})
        if self.endpoint is not None:
            payload["endpoint"] = {
                "base_url": self.endpoint.base_url,
                "token": self.endpoint.token.get_secret_value(),
            }
        return {"request": payload}


class RunUsage(_Wire):
    """What a run used, as far as the executor itself knows."""

    model: str | None = None
    provider: str | None = None
    """As LiteLLM's price list calls it (`anthropic`): without `cost_usd` the run is priced by that."""
    input_tokens: Annotated[int, Field(ge=0)] | None = None
    """Of this run alone, what a cache read or stored included."""
    output_tokens: Annotated[int, Field(ge=0)] | None = None
    cache_read_tokens: Annotated[int, Field(ge=0)] = 0
    cache_stored_tokens: Annotated[int, Field(ge=0)] = 0
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """USD of this run alone, not of the session that it went on in."""


class RunResult(_Wire):
    """The end of a run."""

    status: Literal["completed", "failed"]
    text: str = ""
    """The answer; in a failure what was produced before it."""
    structured: Any = None
    failure: FailureClass | None = None
    """Set when `status` is failed."""
    message: str | None = None
    """What happened and why, for people; set when `status` is failed."""
    lives: bool = False
    """Of a failure under `recovery: attach`: the run may go on elsewhere (its host cannot be asked), so that the next
    attempt is an `attach`. That of `interrupted` and `unknown` always may."""
    fix: str | None = None
    retry_at: datetime | None = None
    usage: RunUsage | None = None
    """None when the calls went through the relay, which meters them itself."""
    notes: dict[str, Any] = Field(default_factory=dict)
    """Session id, denied permissions, turns: shown, not interpreted."""


def failed(kind: FailureClass, message: str, *, fix: str | None = None, **rest: Any) -> RunResult:
    """Return a failure; `rest` are further fields of `RunResult`."""
    return RunResult(status="failed", failure=kind, message=message, fix=fix, **rest)


class CancelResult(_Wire):
    """What a cancel did."""

    stopped: bool
    """True: proven that no process of the run is left."""
    remaining: list[str] = Field(default_factory=list)
    """What is left, in words."""


class Health(_Wire):
    """Whether the agent behind an adapter can work."""

    ok: bool
    version: str | None = None
    detail: str | None = None
    fix: str | None = None
