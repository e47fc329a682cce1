"""Executors for chaos: from the standard library alone, so that one starts in a twentieth of a second."""
