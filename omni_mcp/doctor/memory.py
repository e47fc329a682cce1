"""The memory server: whether it can be started, and whether it took what tasks left."""

from collections.abc import Iterator

from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, note
from omni_mcp.doctor.ledger import rows_of
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, ours
from omni_mcp.ledger.memory_statements import GIVEN_UP
from omni_mcp.memory.kinds import spec_of, tools_of


def memory_server(scene: Scene) -> Iterator[Finding]:
    """Say what keeps the memory server of the settings from starting; nothing is started."""
    if tools_of(scene.settings.servers.memory) is None:
        return
    spec = spec_of(scene.settings)
    if spec.unusable is not None:
        yield Finding(
            code="memory-missing",
            severity=Severity.ERROR,
            text=f"no task is told of earlier ones: {spec.unusable}",
            about=spec.name,
            fix=edit(scene.home.servers, scene.line("memory")),
            needs=AN_EDIT,
        )


def given_up(scene: Scene) -> Iterator[Finding]:
    """Say what the memory server never took."""
    for row in rows_of(scene, GIVEN_UP):
        text = f"the memory server never took what {row['n']} tasks left: {row['trouble']}"
        yield note("memory-given-up", text, about="memory", fix=ours(scene.home, "memory", "list"))
