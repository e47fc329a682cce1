"""Fix commands: lines for a POSIX shell that run as they stand, on Linux and macOS alike."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
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
    """Return the command that replaces a word in a line and keeps the file as `.bak`; None for what is no word."""
    if not (_WORD.fullmatch(old) and _WORD.fullmatch(new)):
        return None
    word, edge = old.replace(".", r"\."), "[^[:alnum:]_-]"
    places = rf"s|^{word}|{new}|", rf"s|\({edge}\){word}\({edge}\)|\1{new}\2|", rf"s|\({edge}\){word}$|\1{new}|"
    steps = " ".join(f"-e {quote(str(line) + place)}" for place in places)
    return f"sed -i.bak {steps} {quote(str(path))}"


def kept(name: str, dotenv: Path) -> str:
    """Return the command that asks for the value of a variable and puts it into `.env`, past the shell's history."""
    line = rf"""printf "\n{name}='%s'\n" "$value" >> {quote(str(dotenv))}"""
    return f"printf '{name}: ' && read -r value && (umask 077 && {line})"


def first_keys(path: Path, places: Iterable[tuple[int, str, str]]) -> str:
    """Return the command that puts a pair before the first key of YAML mappings: line, that key, the pair."""
    steps = [f"-e {quote(step)}" for line, key, pair in places for step in _first(line, key, pair)]
    return f"sed -i.bak {' '.join(steps)} {quote(str(path))}"


def _first(line: int, key: str, pair: str) -> tuple[str, str]:
    """Return the steps for a mapping in braces and for one of lines; only one of them finds its place."""
    in_lines = f"{line}s|^\\( *\\){key}:|\\1{pair}\\\n\\1{key}:|"  # a line end for sed: a backslash and a line end
    return f"{line}s|{{ *{key}:|{{{pair}, {key}:|", in_lines
