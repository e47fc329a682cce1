"""`make bench`: every measurement in one table, each with its goal. A missed goal is marked, only an error fails.

`--only PART` measures a part; `--into FILE` keeps what was found there, part by part, with the machine and the time, so
that a long run may be made in turns. `python -m benchmarks.report` makes the page of it.
"""

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import (
    claude,
    cluster,
    engines,
    face,
    first_task,
    full_ledger,
    ledger,
    lightness,
    litellm_alone,
    load,
    page,
    peers,
    relay,
)

Row = Mapping[str, Any]
"""name, unit, ours; where there is something to compare with: other, ratio, and maybe its goal, at_most or at_least.

A figure that has a bound of its own has `goal`, in its unit.
"""

PARTS: Mapping[str, ModuleType] = {
    "engines": engines,
    "cluster": cluster,
    "litellm": litellm_alone,
    "relay": relay,
    "face": face,
    "load": load,
    "peers": peers,
    "ledger": ledger,
    "full": full_ledger,
    "page": page,
    "claude": claude,
    "lightness": lightness,
    "first_task": first_task,
}
"""What is measured, by the word for `--only`, in the order of the table. Each has `main()`, and says in its docstring
what it measures and what is not like for like: that is the text of the page."""
PACKAGES = ("omni-mcp", "fastmcp", "litellm", "pydocket", "redis", "aiosqlite", "anyio", "pydantic")


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


def circumstances() -> Mapping[str, Any]:
    """Return when and where this is measured: what a reader needs to judge a figure by."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **_packages()},
    }


def _packages() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def keep(file: Path, name: str, where: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write what a part found into the file, in place of what it found before."""
    parts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    parts[name] = {**where, "rows": rows}
    ordered = {each: parts[each] for each in PARTS if each in parts}
    file.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, then print the table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--into", type=Path, metavar="FILE")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.only or PARTS:
        where = circumstances()
        found: Sequence[Row] = PARTS[name].main()
        rows += found
        if given.into and found:
            keep(given.into, name, where, found)
    if given.json:
        json.dump([{**row, "met": met(row)} for row in rows], sys.stdout, indent=2)
    else:
        table = Table("", "unit", "ours", "baseline", "ratio", "goal", "")
        for row in rows:
            table.add_row(*cells(row))
        Console().print(table)


if __name__ == "__main__":
    main()
