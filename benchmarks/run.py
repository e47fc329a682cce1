"""`make bench`: every measurement in one table, each with its goal. A missed goal is marked, only an error fails."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import claude, face, first_task, ledger, lightness, page, relay

Row = Mapping[str, Any]
"""name, unit, ours; where there is something to compare with: other, ratio, and maybe its goal, at_most or at_least.

A figure that has a bound of its own has `goal`, in its unit.
"""


def met(row: Row) -> bool | None:
    """Whether the figure or the ratio reaches its goal; None: it has none."""
    if "goal" in row:
        return row["ours"] <= row["goal"]
    if "at_most" not in row and "at_least" not in row:
        return None
    return row["ratio"] <= row["at_most"] if "at_most" in row else row["ratio"] >= row["at_least"]


def goal(row: Row) -> str:
    """Return the goal in words."""
    if "goal" in row:
        return f"≤ {row['goal']} {row['unit']}"
    return f"≤ {row['at_most']} x" if "at_most" in row else f"≥ {row['at_least']} x"


def cells(row: Row) -> Sequence[str]:
    """Return a row as people read it."""
    compared = [f"{row['other']:,.2f}", f"{row['ratio']:.2f} x"] if "ratio" in row else ["", ""]
    start = [row["name"], row["unit"], f"{row['ours']:,.2f}", *compared]
    if met(row) is None:
        return start
    return [*start, goal(row), "[green]met" if met(row) else "[red]missed"]


def main() -> None:
    """Measure, then print the table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rows: list[Row] = [*face.main(), ledger.main(), *relay.main()]
    rows += [*lightness.main(), *first_task.main(), *page.main(), *claude.main()]
    if as_json:
        json.dump([{**row, "met": met(row)} for row in rows], sys.stdout, indent=2)
    else:
        table = Table("", "unit", "ours", "baseline", "ratio", "goal", "")
        for row in rows:
            table.add_row(*cells(row))
        Console().print(table)


if __name__ == "__main__":
    main()
