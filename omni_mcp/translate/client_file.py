"""The `mcpServers` of an MCP client: each server is an executor."""

from omni_mcp.translate.draft import Draft, Tree
from omni_mcp.translate.executor_rows import executors_of


def from_client(tree: Tree, draft: Draft) -> None:
    """Translate the file of a client into the draft."""
    executors_of(tree["mcpServers"], ("mcpServers",), draft)
    if rest := [key for key in tree if key not in ("mcpServers", "$schema")]:
        draft.note((), f"left out: {', '.join(rest)}", "settings of the client itself")
