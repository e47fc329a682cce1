"""`make bench`: every measurement in one table, each with its goal. A missed goal is marked, only an error fails."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import face, ledger

Row = Mapping[str, Any]
"""name, unit, ours, other, ratio, and the goal for the ratio: at_most or at_least."""


def met(row: Row) -> bool:
    """Whether the ratio reaches its goal."""
    return row["ratio"] <= row["at_most"] if "at_most" in row else row["ratio"] >= row["at_least"]


def goal(row: Row) -> str:
    """Return the goal in words."""
    return f"≤ {row['at_most']} x" if "at_most" in row else f"≥ {row['at_least']} x"


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as people read them."""
    found = Table("", "unit", "ours", "bare", "ratio", "goal", "")
    for row in rows:
        verdict = "[green]met" if met(row) else "[red]missed"
        figures = [f"{row[key]:,.1f}" for key in ("ours", "other")]
        found.add_row(row["name"], row["unit"], *figures, f"{row['ratio']:.2f} x", goal(row), verdict)
    return found


def main() -> None:
    """Measure, then print the table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rows: list[Row] = [*face.main(), ledger.main()]
    if as_json:
        json.dump([{**row, "met": met(row)} for row in rows], sys.stdout, indent=2)
    else:
        Console().print(table(rows))


if __name__ == "__main__":
    main()
