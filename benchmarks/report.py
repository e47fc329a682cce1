"""Make docs/benchmarks.md, its pictures, and the tables of docs/scale.md of what was measured (`make bench-report`).

`benchmarks/measured.json` has the figures, part by part; the words of a part are the docstring of its module. A test
fails when the page is not what this makes of them.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from benchmarks import scale
from benchmarks.empty import MEASURED, ROOT
from benchmarks.run import PARTS, Row, goal, met

DOCS = ROOT / "docs"
PICTURES = Path("pictures/benchmarks")
"""Where the pictures are, seen from the page."""

TITLES = {
    "engines": "Beside docket and procrastinate",
    "cluster": "Several engines on PostgreSQL, beside one on its file",
    "litellm": "Beside LiteLLM alone",
    "relay": "What the relay adds to a call",
    "face": "Beside a bare FastMCP server: one client",
    "load": "Beside a bare FastMCP server: 500 clients",
    "peers": "Beside a peer's MCP server",
    "ledger": "Beside plain aiosqlite",
    "full": "A million tasks that are over",
    "page": "The web page's list",
    "claude": "Beside bare Claude Code",
    "lightness": "What it weighs",
    "first_task": "A first task",
}

OPENING = """\
# Benchmarks

<!-- `make bench-report` writes this page from benchmarks/measured.json. -->

`make bench` measures everything below on this machine and prints it; `make bench-report` does and writes this page
(`PART="engines litellm"` measures these parts only and keeps the others). Nothing of it needs a key or a cloud: models
are stubs, Redis and PostgreSQL are started on loopback.

How to read it: who is compared takes turns within one run, so **compare within a row, not between parts**; the machine
is shared and slow, so absolute figures say little about yours. A goal that was missed is marked, not hidden. What is
not like for like stands in the words of each part.
"""

HEAD, ROW, NAME, BAR, WIDTH, FIGURE = 30, 60, 18, 14, 600, 120
"""Heights of the legend, of a row, of its name and of a bar; widths of the longest bar and of its figure."""

SVG = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ title }}">
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .ours { fill: #0969da } .other { fill: #8c959f }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #4493f8 } .other { fill: #656c76 } }
  </style>
  <rect class="ours" x="0" y="6" width="12" height="12"/><text x="18" y="16">ours</text>
  <rect class="other" x="70" y="6" width="12" height="12"/><text x="88" y="16">beside it</text>
{% for row in rows %}
  <text x="0" y="{{ row.y }}">{{ row.name }}</text>
{% for bar in row.bars %}
  <rect class="{{ bar.kind }}" x="0" y="{{ bar.y }}" width="{{ bar.size }}" height="{{ bar.height }}"/>
  <text x="{{ bar.size + 6 }}" y="{{ bar.y + bar.height - 2 }}">{{ bar.said }}</text>
{% endfor %}
{% endfor %}
</svg>
""")


def picture(title: str, rows: Sequence[Row]) -> str:
    """Draw pairs of bars; those of one unit have one scale."""
    longest = dict[str, float]()
    for row in rows:
        longest[row["unit"]] = max(longest.get(row["unit"], 0), row["ours"], row["other"])

    def bars(row: Row, top: int) -> Iterator[Mapping[str, Any]]:
        for number, kind in enumerate(("ours", "other")):
            size = round(max(WIDTH * row[kind] / longest[row["unit"]], 1), 1)
            told = f"{said(row[kind])} {row['unit']}"
            yield {"kind": kind, "y": top + NAME + number * (BAR + 2), "size": size, "height": BAR, "said": told}

    drawn = [
        {"name": row["name"].strip(), "y": HEAD + n * ROW + BAR, "bars": list(bars(row, HEAD + n * ROW))}
        for n, row in enumerate(rows)
    ]
    return SVG.render(title=title, rows=drawn, width=WIDTH + FIGURE, height=HEAD + len(rows) * ROW) + "\n"


def said(value: float) -> str:
    """Return a figure with three places that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table of Markdown."""
    lines = ["| | unit | ours | beside it | ratio | goal |", "|---|---|---|---|---|---|"]
    for row in rows:
        pair = [said(row["other"]), f"{row['ratio']:.2f} ×"] if "ratio" in row else ["", ""]
        verdict = {None: "", True: f"{_goal(row)}: met", False: f"**{_goal(row)}: missed**"}[met(row)]
        lines.append(f"| {' | '.join([row['name'].strip(), row['unit'], said(row['ours']), *pair, verdict])} |")
    return "\n".join(lines)


def _goal(row: Row) -> str:
    return "" if met(row) is None else goal(row).replace(" x", " ×")


def pages(parts: Mapping[str, Any]) -> Mapping[str, str]:
    """Return every file that is made of the figures, by its path in docs/."""
    made = {"benchmarks.md": "\n".join((OPENING, *(text for name in parts for text in _section(name, parts[name]))))}
    for name, part in parts.items():
        if pairs := [row for row in part["rows"] if "ratio" in row]:
            made[f"{PICTURES}/{name}.svg"] = picture(TITLES[name], pairs)
    text = (DOCS / "scale.md").read_text(encoding="utf-8")
    return {**made, "scale.md": scale.filled(text, scale.costs(parts))}


def _section(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{package} {number}" for package, number in part["versions"].items())
    yield f"## {TITLES[name]}\n"
    yield f"{inspect.getdoc(PARTS[name])}\n"
    yield f"```sh\nmake bench PART={name}\n```\n"
    yield f"{part['at'][:10]}, {part['cores']} cores, {part['system']}, load {part['load']} at the begin; {versions}.\n"
    if any("ratio" in row for row in part["rows"]):
        yield f"![{TITLES[name]}]({PICTURES}/{name}.svg)\n"
    yield table(part["rows"]) + "\n"


def main() -> None:
    """Write them."""
    for name, text in pages(json.loads(MEASURED.read_text(encoding="utf-8"))).items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
