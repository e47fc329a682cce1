"""A console that speaks the user's language: what is printed as `str` is ours, what is printed as `Text` is others'."""

import re
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from omni_mcp.lang import say

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move a terminal or change its title: C0 and C1 without line feed and tab."""

_STYLED = re.compile(r"((?:\[[a-z /]+\])?)(.*?)((?:\[/\])?)", re.DOTALL)
"""Words in one style: `[green]yes`."""


def harmless(text: str) -> str:
    """Return a text that may come from a file or a program of others without what could move a terminal."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


class Speaking(Console):
    """Says every string in the user's language, those in tables and titles too."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Render a string in the user's language."""
        found = _STYLED.fullmatch(text)
        before, words, after = found.groups() if found else ("", text, "")
        return super().render_str(f"{before}{harmless(say(words))}{after}", **how)


class Folding(Table):
    """A table that cuts nothing off: Chinese has no spaces at which a line could be broken."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.columns:
            column.overflow = "fold"
        yield from super().__rich_console__(console, options)
