"""The official conformance suite, run against our own face: `make conformance`."""
