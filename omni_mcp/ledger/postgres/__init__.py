"""The store of a ledger that several machines share: PostgreSQL, by psycopg (the extra `omni-mcp[cluster]`)."""
