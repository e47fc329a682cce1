"""The words of the terminal: what this program says to people, in their language.

Messages are English where they arise; the ledger, logs, `--json` and MCP answers keep them so. Only what is printed for
a person goes through `say`, which finds the message in the catalogue of the language: `zh.yaml`, or `en.yaml` for the
few that a terminal says in other words than a tool does (`omni-mcp status`, not `task_status`).
"""

import functools
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from omni_mcp.lang.catalogue import Catalogue, load

FOLDER = Path(__file__).parent
ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh")
LONGEST = 2000
"""Characters of a message; what is longer is somebody's material."""
_VARIABLES = ("OMNI_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def language(variables: Mapping[str, str] = os.environ) -> str:
    """Return the language of the terminal: OMNI_LANG, else that of the locale, else English."""
    wanted = next(filter(None, map(variables.get, _VARIABLES)), "")
    return _code(wanted) if is_spoken(wanted) else ENGLISH


def is_spoken(wanted: str) -> bool:
    """Whether there is a catalogue for what a variable asks for (`zh_CN.UTF-8`); nothing asked is no wish."""
    return not wanted or _code(wanted) in LANGUAGES


def _code(wanted: str) -> str:
    return re.split(r"[-_.@]", wanted.lower(), maxsplit=1)[0] or ENGLISH


def say(text: str, **known: str) -> str:
    """Return our words in the user's language, those of others as they are.

    `known` fills what a command names and a tool's words do not: `say("task_result", task="a1b2c3d4")`.
    """
    return say_in(language(), text, **known)


def say_in(code: str, text: str, **known: str) -> str:
    """Return the same in one of the LANGUAGES, whatever the terminal speaks."""
    return text if len(text) > LONGEST else _said(code, text, tuple(known.items()))


@functools.lru_cache(maxsize=1024)
def _said(code: str, text: str, known: tuple[tuple[str, str], ...]) -> str:
    """Remember what was said: a table asks for each of its cells several times."""
    return _catalogue(code).say(text, dict(known))


@functools.cache
def _catalogue(code: str) -> Catalogue:
    """Return the catalogue of a language; one that cannot be read is said so, once, and English is spoken."""
    try:
        return load(FOLDER / f"{code}.yaml")
    except ValueError as error:
        sys.stderr.write(f"omni-mcp: the messages are in English, {error}\n")
        return Catalogue({}) if code == ENGLISH else _catalogue(ENGLISH)
