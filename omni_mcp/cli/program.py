"""The command line in the user's language: its help, and what it says of a wrong call."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Any, cast

import typer
from typer.core import TyperGroup

from omni_mcp.lang import ENGLISH, LANGUAGES, is_spoken, language, say
from omni_mcp.lang.console import Folding

_TITLES = (
    *("DEPRECATED_STRING", "DEFAULT_STRING", "REQUIRED_LONG_STRING", "ERRORS_PANEL_TITLE", "RICH_HELP", "ABORTED_TEXT"),
    *("ARGUMENTS_PANEL_TITLE", "OPTIONS_PANEL_TITLE", "COMMANDS_PANEL_TITLE"),
)
"""Typer's own words, in its module."""


class Program(TyperGroup):
    """The root of all commands."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; where English is spoken, just as Typer does."""
        _agree_on_language()
        if language() == ENGLISH or not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        _translate(self)
        try:
            sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except typer.TyperException as error:
            _tell(error)
            sys.exit(error.exit_code)
        except typer.Abort:
            from typer import rich_utils

            rich_utils.rich_abort_error()
            sys.exit(1)


def _agree_on_language() -> None:
    """Say so where the language that was asked for cannot be spoken, and speak English."""
    wanted = os.environ.get("OMNI_LANG", "")
    if not is_spoken(wanted):
        sys.stderr.write(f"omni-mcp: OMNI_LANG={wanted!r} is not spoken here, but: {', '.join(LANGUAGES)}\n")
    if not _shows("…中"):
        _make_do()


def _shows(text: str) -> bool:
    try:
        return bool(text.encode(sys.stdout.encoding or "utf-8"))
    except UnicodeEncodeError:
        return False


def _make_do() -> None:
    """Speak English where the encoding has no Chinese; what else it has not becomes `?` instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="replace")
    if language() != ENGLISH:
        os.environ["OMNI_LANG"] = ENGLISH
        sys.stderr.write(f"omni-mcp: the messages are in English, the encoding {sys.stdout.encoding} has no other\n")


def _translate(program: TyperGroup) -> None:
    from rich import columns
    from typer import rich_utils

    for name in _TITLES:
        setattr(rich_utils, name, say(getattr(rich_utils, name)))
    for module in cast("tuple[Any, Any]", (rich_utils, columns)):
        module.Table = Folding
    for command in _all(program):
        context = typer.Context(command, **program.context_settings)
        for described in (command, *command.get_params(context)):
            described.help = _in_paragraphs(described.help)
        command.get_usage = _spoken(command.get_usage)


def _spoken(usage: Callable[[typer.Context], str]) -> Callable[[typer.Context], str]:
    return lambda context: usage(context).replace("Usage: ", say("Usage:"), 1)


def _all(command: Any) -> Iterator[Any]:
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from _all(inner)


def _in_paragraphs(text: str | None) -> str | None:
    """Say a help text: a paragraph is a message, however it is broken into lines."""
    if not text:
        return text
    return "\n\n".join(say(" ".join(paragraph.split())) for paragraph in inspect.cleandoc(text).split("\n\n"))


def _tell(error: typer.TyperException) -> None:
    from typer import rich_utils

    said = say(error.format_message())
    error.format_message = lambda: said
    rich_utils.rich_format_error(error)  # type: ignore[arg-type]
