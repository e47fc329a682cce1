"""Fix commands: lines for a POSIX shell that run as they stand, on Linux and macOS alike."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from omni_mcp.clients.launch import SCRIPT, console_script
from omni_mcp.errors import SettingsError
from omni_mcp.home import Home

_WORD = re.compile(r"\w[\w./:-]*", re.ASCII)
"""What stands for itself in a pattern of sed, but for its dots."""


def program() -> str:
    """Return our own command: by its name where the shell finds this installation under it, else by its path."""
    try:
        script = console_script()
    except SettingsError:
        return f"{quote(sys.executable)} -m omni_mcp"
    return SCRIPT if shutil.which(SCRIPT) == script else quote(script)


def ours(home: Home, *words: str) -> str:
    """Return a command of ours about a home, which it names unless it is the user's own."""
    named = ["--home", str(home.root)] if "OMNI_HOME" in os.environ else []
    config = ["--config", str(home.config)] if home.config else []
    return " ".join([program(), *map(quote, (*words, *named, *config))])


def pip_install(*words: str) -> str:
    """Return the command that installs packages for this interpreter."""
    return " ".join(map(quote, (sys.executable, "-m", "pip", "install", *words)))


def edit(path: Path, line: int | None = None) -> str:
    """Return the command that opens a file in the person's editor, at a line."""
    place = f"+{line} " if line else ""
    return f"${{EDITOR:-vi}} {place}{quote(str(path))}"


def replaced(path: Path, line: int, old: str, new: str) -> str | None:
    """Return the command that replaces a word in a line and keeps the file as `.bak`.

    None for what is no word, and unless it stands exactly once in the line: nobody can say which one is meant.
    """
    if not (_WORD.fullmatch(old) and _WORD.fullmatch(new)):
        return None
    there = _line_of(path, line)
    if not _count(old.rstrip(":"), there) == _count(old, there) == 1:
        return None
    word, edge = old.replace(".", r"\."), "[^[:alnum:]_-]"
    places = rf"s|^{word}\({edge}\)|{new}\1|", rf"s|\({edge}\){word}\({edge}\)|\1{new}\2|"
    ends = rf"s|^{word}$|{new}|", rf"s|\({edge}\){word}$|\1{new}|"
    steps = " ".join(f"-e {quote(str(line) + place)}" for place in (*places, *ends))
    return f"sed -i.bak {steps} {quote(str(path))}"


def _line_of(path: Path, line: int) -> str:
    """Return a line as sed counts them."""
    return path.read_text(encoding="utf-8").split("\n")[line - 1]


def _count(word: str, line: str) -> int:
    """Return how often a word stands in a line, be it in quotes or in a comment."""
    return len(re.findall(rf"(?<![\w-]){re.escape(word)}(?![\w-])", line, re.ASCII))


def kept(name: str, dotenv: Path) -> str:
    """Return the command that asks for the value of a variable and puts it into `.env`, past the shell's history."""
    line = rf"""printf "\n{name}='%s'\n" "$value" >> {quote(str(dotenv))}"""
    return f"printf '{name}: ' && read -r value && (umask 077 && {line})"


def first_keys(path: Path, places: Sequence[tuple[int, str, str]]) -> str | None:
    """Return the command that puts a pair before the first key of YAML mappings: line, that key, the pair.

    None where a key could be the first one of several mappings of its line.
    """
    if not all(_begins_once(key, _line_of(path, line)) for line, key, _ in places):
        return None
    steps = [f"-e {quote(step)}" for line, key, pair in places for step in _first(line, key, pair)]
    return f"sed -i.bak {' '.join(steps)} {quote(str(path))}"


def _begins_once(key: str, line: str) -> bool:
    return len(re.findall(rf"(?:^|{{) *{re.escape(key)}:", line)) == 1


def _first(line: int, key: str, pair: str) -> tuple[str, str]:
    """Return the steps for a mapping in braces and for one of lines; only one of them finds its place."""
    in_lines = f"{line}s|^\\( *\\){key}:|\\1{pair}\\\n\\1{key}:|"  # a line end for sed: a backslash and a line end
    return f"{line}s|{{ *{key}:|{{{pair}, {key}:|", in_lines
