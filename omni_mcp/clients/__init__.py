"""Put this server into the configuration of an MCP client, and take it out again without a trace."""
