"""The memory servers that we know: how each is started, and which of its tools do what."""

from collections.abc import Mapping
from dataclasses import dataclass

from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec, server_spec
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.memory import MemorySettings, MemoryTool
from omni_mcp.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a memory server is asked with."""

    recall: MemoryTool
    add: MemoryTool
    prepare: tuple[MemoryTool, ...] = ()

    @property
    def tells_apart(self) -> bool:
        """Whether what is added says whose it is, so that nobody else is told of it."""
        return "{scope}" in str(self.add.arguments)

    @property
    def only_ours(self) -> bool:
        """Whether the server itself finds only what was added for the same scope."""
        return "{scope}" in str(self.recall.arguments)


SERVER_MEMORY = Tools(
    # https://github.com/modelcontextprotocol/servers/tree/main/src/memory: finds substrings, so it is asked word by
    # word; an entity whose name is there already is left alone, so an addition can be repeated
    recall=MemoryTool(tool="search_nodes", arguments={"query": "{word}"}, result="/entities"),
    add=MemoryTool(
        tool="create_entities",
        arguments={"entities": [{"name": "omni-mcp {task_id}", "entityType": "{scope}", "observations": ["{memory}"]}]},
    ),
)
_CUBE = "omni-mcp"
MEMOS = Tools(
    # https://github.com/MemTensor/MemOS, src/memos/api/mcp_serve.py. Its errors are texts; a cube has to be registered
    # again after each start of the server. One cube for all: over its embedded Qdrant a process cannot open a second
    # one. Whose a memory is stands in its line, but a language model may rewrite that: so it is for `local` alone.
    prepare=(
        MemoryTool(tool="create_user", arguments={"user_id": _CUBE}),
        MemoryTool(tool="register_cube", arguments={"cube_name_or_path": _CUBE, "cube_id": _CUBE, "user_id": _CUBE}),
    ),
    recall=MemoryTool(
        tool="search_memories",
        arguments={"query": "{text}", "user_id": _CUBE, "cube_ids": [_CUBE]},
        result="/text_mem/0/memories",
        text="/memory",
    ),
    add=MemoryTool(
        tool="add_memory",
        arguments={"memory_content": "{memory}", "cube_id": _CUBE, "user_id": _CUBE},
        refusal="Error",
    ),
)
_NPX = ("npx", "-y", "@modelcontextprotocol/server-memory")


def tools_of(row: MemorySettings) -> Tools | None:
    """Return what the memory server of the settings is asked with; None: there is none."""
    match row.kind:
        case "server-memory":
            return SERVER_MEMORY
        case "memos":
            return MEMOS
        case "mcp" if row.recall is not None and row.add is not None:
            return Tools(recall=row.recall, add=row.add, prepare=row.prepare)
        case _:
            return None


def spec_of(settings: Settings) -> ExecutorSpec:
    """Return how the memory server of the settings is reached; it is no executor, and gets no tasks."""
    row = settings.servers.memory
    first, *rest = (row.command, *row.args) if row.command or row.url else _NPX
    made = ExecutorRow.model_construct(
        command=first, args=tuple(rest), env=_env(row, settings.home), **row.model_dump(include=_SHARED)
    )
    return server_spec(row.kind if row.kind != "mcp" else "memory", made, settings)


_SHARED = {"url", "headers", "token", "connect_timeout"}


def _env(row: MemorySettings, home: Home) -> Mapping[str, str]:
    """Return its variables; `server-memory` would write into its own package, which `npx` throws away."""
    own = {"MEMORY_FILE_PATH": str(home.root / "memory.jsonl")} if row.kind == "server-memory" else {}
    return {**own, **row.env}
