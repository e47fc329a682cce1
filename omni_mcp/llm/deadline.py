"""How long a model call may take, whoever serves it."""

DEADLINE = 600.0
"""Seconds for one call, its stream and all routes that it tries included."""
