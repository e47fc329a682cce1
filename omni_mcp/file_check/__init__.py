"""Judge a servers.yaml: a flaw takes away its own row only, and the rest works."""
