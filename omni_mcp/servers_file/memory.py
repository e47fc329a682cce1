"""`memory`: what completed tasks leave for the tasks after them, and where that is kept."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from omni_mcp.servers_file.row import Row
from omni_mcp.servers_file.values import Web


class MemoryTool(Row):
    """A tool of a memory server, and how its answer is read."""

    tool: str
    """Its name."""
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    """Its arguments, with {scope} {task_id} {text} {word} {memory} filled in; with {word} it is asked word by word."""
    result: str = ""
    """Of `recall`: a JSON pointer to the list of what was found."""
    text: str = ""
    """Of `recall`: a JSON pointer to the text within one of that list; empty: all of it."""
    refusal: str | None = None
    """An answer that begins so says that it did not work: some servers call nothing an error."""


class MemorySettings(Row):
    """What completed tasks leave for the tasks after them, and where that is kept; docs/memory.md."""

    kind: Literal["embedded", "server-memory", "memos", "mcp", "none"] = "none"
    """`embedded`: in the ledger; `server-memory`, `memos`: those MCP servers; `mcp`: any other that `recall` and `add`
    describe; `none`: nothing is remembered or recalled."""
    most: Annotated[int, Field(ge=1, le=20)] = 5
    """Memories that a task is told of."""
    timeout: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Seconds that recalling may take; then the task goes on without."""
    command: str | None = None
    """The program that starts the MCP server; of `server-memory` without it npx fetches that."""
    args: tuple[str, ...] = ()
    """Arguments of the command."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Variables of its environment, beside PATH, HOME and the like; it sees no others."""
    url: Web | None = None
    """Where it listens: Streamable HTTP."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """HTTP headers of each request."""
    token: SecretStr | None = None
    """Sent as a bearer token."""
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    """Seconds that its session may take to open; tasks do not wait for that."""
    recall: MemoryTool | None = None
    """Of `mcp`: the tool that finds memories."""
    add: MemoryTool | None = None
    """Of `mcp`: the tool that takes one; they come one at a time."""
    prepare: tuple[MemoryTool, ...] = ()
    """Of `mcp`: tools that are called before a {scope} is first used; what they refuse is not looked at."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.command and self.url:
            raise ValueError("has both command and url: keep one of them")
        named = next((name for name in ("command", "url", "recall", "add") if getattr(self, name)), None)
        if self.kind in ("embedded", "none") and named:
            raise ValueError(f"has {named}, which only a kind with a server has: server-memory, memos, mcp")
        if self.kind in ("memos", "mcp") and not (self.command or self.url):
            raise ValueError(f"of kind {self.kind} needs url or command: where its MCP server is")
        return self

    @model_validator(mode="after")
    def _has_its_tools(self) -> Self:
        if self.kind == "mcp" and (self.recall is None or self.add is None):
            raise ValueError("of kind mcp needs recall and add: docs/memory.md has an example")
        if self.kind in ("server-memory", "memos") and (self.recall or self.add or self.prepare):
            raise ValueError(f"of kind {self.kind} has its tools already: for others write kind: mcp")
        return self
