"""How often somebody may ask: a token bucket (https://en.wikipedia.org/wiki/Token_bucket). Pure: the clock is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many requests somebody may make at once, as of then."""

    left: float
    at: float
    """Seconds of a clock that only goes forward."""


def filled(bucket: Bucket | None, now: float, *, per_second: float, burst: int) -> Bucket:
    """Return the bucket as it is now; of who has not been seen, or not for long, it is full."""
    left = burst if bucket is None else min(burst, bucket.left + max(0.0, now - bucket.at) * per_second)
    return Bucket(left, now)


def taken(bucket: Bucket, *, per_second: float) -> tuple[Bucket, float]:
    """Return the bucket after one request, and 0; or as it was, and the seconds until there is one to take."""
    if bucket.left >= 1:
        return Bucket(bucket.left - 1, bucket.at), 0.0
    return bucket, (1 - bucket.left) / per_second
