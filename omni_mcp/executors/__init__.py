"""Supervised MCP client sessions to whatever runs a task."""
