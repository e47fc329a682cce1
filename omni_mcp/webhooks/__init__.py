"""Webhooks that come in: a file for each kind of sender, and `kinds.py` has the list."""
