"""MCP servers that we ship: each turns an agent into an executor that speaks `contract.py`."""
