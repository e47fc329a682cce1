"""`fault_handler`: when the mode changes, and how LiteLLM may be repaired."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Command, File, Folder, Seconds


class Repair(Row):
    """How LiteLLM may be repaired: one task of type `system_repair` for each outage of it."""

    start: Command | None = None
    """What starts LiteLLM as a process of its own, as a shell takes it; `${NAME}` is the shell's here."""
    restart: Command | None = None
    """Instead of `start`, where somebody else keeps it (compose, systemd): what has it restarted."""
    config: File | None = None
    """LiteLLM's own file: a copy that has served is kept, and put in its place when a new one does not."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Variables that LiteLLM is started with, beside PATH, HOME and the like: the keys of its clouds."""
    commands: Annotated[tuple[Command, ...], Field(min_length=1, max_length=20)] | None = None
    """All that the agent may run where the ladder knows no help; without it there is no agent."""
    cwd: Folder | None = None
    """Where all of these run, and what the agent may read; without it an empty folder."""
    grace: Seconds = 60
    """Seconds that LiteLLM has to answer after a start, and once the repair has ended."""
    per_day: Annotated[int, Field(ge=1, le=24)] = 3
    """Repairs in 24 hours; after that a person has to look."""

    @model_validator(mode="after")
    def _can_do_something(self) -> Self:
        if self.start and self.restart:
            raise ValueError("has both start and restart: keep restart if compose or systemd keeps LiteLLM, else start")
        if not (self.start or self.restart or self.commands):
            raise ValueError("needs start or restart (for the scripted ladder), or commands (for the agent)")
        return self

    @property
    def scripted(self) -> bool:
        """Whether the ladder can bring it back by itself, without any model."""
        return bool(self.start or self.restart)


class FaultHandler(Row):
    """When the mode changes; the first four are the plan's. Times are in seconds."""

    lite_llm_timeout: Seconds = 1.0
    """For one probe of LiteLLM."""
    consecutive_failures: Annotated[int, Field(ge=1, le=100)] = 2
    """Failures that make LiteLLM count as broken."""
    check_interval: Seconds = 30
    """Between two probes, give or take a tenth."""
    cloud_check_timeout: Seconds = 10
    """For one probe of a provider."""
    confirm_delay: Seconds = 2
    """From a first failed probe to the one that confirms it."""
    confirm_timeout: Seconds = 3
    """For the probe that confirms: slow is not broken."""
    success_memory: Seconds = 10
    """A real call that succeeded within this clears a failure."""
    recover_successes: Annotated[int, Field(ge=1, le=100)] = 2
    """Successes that make LiteLLM count as mended."""
    min_dwell: Seconds = 60
    """The shortest stay in degraded; doubles with each relapse."""
    max_dwell: Seconds = 600
    """The longest that it doubles to."""
    recover_rounds: Annotated[int, Field(ge=1, le=100)] = 3
    """Rounds with an answering cloud that end brainstem."""
    recover_spacing: Seconds = 5
    """Between two of these rounds."""
    repair: Repair | None = None
    """How LiteLLM may be repaired; without it nothing is."""
