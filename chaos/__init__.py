"""Kills, freezes, starves and cuts real processes of a home, and asserts afterwards that nothing was lost or twice."""
