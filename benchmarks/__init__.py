"""Measurements that `make bench` runs; each file has a `main() -> dict` of its own."""
