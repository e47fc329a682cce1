"""Omni-Orchestrator: an MCP server that records, routes and finishes the work that agents hand off."""

__version__ = "0.1.0"
