"""The rows of the table that `benchmarks/run.py` prints."""


def pair(ours: float, other: float) -> dict[str, float]:
    """Return two figures of one row, and how many times the second the first one is."""
    return {"ours": ours, "other": other, "ratio": ours / other}
