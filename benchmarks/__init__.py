"""Measurements that `make bench` runs; each file has a `main()` of its own, which returns lines of the table."""
