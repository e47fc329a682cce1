"""Where memories are kept: in the ledger, or by an MCP server."""
