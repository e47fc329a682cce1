"""Nudges: how an engine learns that there is something to do. They may be lost; the ledger alone decides."""
