"""What other programs have for a configuration, as a servers.yaml: the plan's, LiteLLM's, that of MCP clients."""
