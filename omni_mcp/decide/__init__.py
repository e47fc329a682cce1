"""Decisions: pure functions without await, clock or I/O. The engine only carries them out."""
