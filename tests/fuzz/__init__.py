"""Seeded fuzzing of every tool and resource of the MCP face: `make fuzz`."""
