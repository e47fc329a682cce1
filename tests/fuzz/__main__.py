"""Call every tool with what nobody expects, and fail for a traceback, a secret, or a refusal that says nothing."""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import fuzz


def main() -> None:
    """Run it and print what was called how often."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="omni-fuzz-") as folder:
        calls = fuzz(Path(folder), inputs=given.inputs, seed=given.seed)
    for name, count in calls.items():
        print(f"{name:>16} {count:>8,}")
    print(f"{sum(calls.values()):,} inputs in {time.monotonic() - began:.0f} s, seed {given.seed}: ")
    print("no traceback, no secret, no unclear refusal; every task that was answered is in the ledger")


if __name__ == "__main__":
    main()
