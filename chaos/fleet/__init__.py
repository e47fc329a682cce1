"""Several machines on one ledger, each in a network namespace of its own, harmed in turn."""
