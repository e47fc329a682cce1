"""A first servers.yaml: what is on this machine, and what follows from it."""
