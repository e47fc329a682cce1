"""The pages that are the source's own words: docs/cli.md, docs/tools.md, docs/errors.md (`make reference`)."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from omni_mcp import errors
from omni_mcp.cli import app
from omni_mcp.errors import OmniError
from omni_mcp.faces.status import status_of

MADE = "<!-- `make reference` writes this page from the source. -->"
NULL = {"type": "null"}
EVERYWHERE = frozenset({"help", "home", "config"})
"""Parameters of nearly every command."""
UNFORESEEN = 500
"""The status of what nobody meets over plain HTTP."""
LARGEST = 1e6
"""A bound that is told; beyond it there is none to a reader."""


def cli_text() -> str:
    """Return the page of commands: what each does, its arguments and options."""
    opening = (
        "Every command and its options, as `--help` has them. `--home` and `--config`, which nearly all of them take, "
        "are in the first table only. Where the locale is Chinese they speak Chinese."
    )
    return _page("Commands", opening, _commands(typer.main.get_command(app), "omni-mcp"))


def _commands(command: Any, name: str) -> Iterator[str]:
    yield f"## {name}\n\n{_paragraphs(command.help)}"
    context, left_out = typer.Context(command, info_name=name), EVERYWHERE if " " in name else {"help"}
    told = [each for each in command.get_params(context) if each.name not in left_out and not each.hidden]
    if rows := [_row(_names(each), _default(each), each.help) for each in told]:
        yield _table(("argument or option", "default", "meaning"), rows)
    for inner in getattr(command, "commands", {}).values():
        if not inner.hidden:
            yield from _commands(inner, f"{name} {inner.name}")


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    nothing = parameter.default is None or parameter.default in (False, (), [])
    return "" if nothing or callable(parameter.default) else f"`{parameter.default}`"


def tools_text(face: Mapping[str, Any]) -> str:
    """Return the page of tools: what each does, its arguments, the fields of its answer."""
    opening = (
        "What an MCP client is told of each tool. [mcp.md](mcp.md) has what stands beside them, [tasks.md](tasks.md) "
        "what the words mean, [errors.md](errors.md) what they refuse with."
    )
    return _page("Tools", opening, (part for tool in face["tools"] for part in _tool(tool)))


def _tool(tool: Mapping[str, Any]) -> Iterator[str]:
    hints = {name.removesuffix("Hint"): value for name, value in tool["annotations"].items()}
    yield f"## {tool['name']}\n\n{_paragraphs(tool['description'])}"
    arguments, required = tool["inputSchema"]["properties"], tool["inputSchema"].get("required", ())

    def default(name: str, schema: Mapping[str, Any]) -> str:
        return "required" if name in required else _told(schema["default"])

    rows = [
        _row(f"`{name}`", _word(each), default(name, each), each.get("description")) for name, each in arguments.items()
    ]
    if rows:
        yield _table(("argument", "value", "default", "meaning"), rows)
    fields = tool["outputSchema"].get("properties", {})
    yield "Answers with " + ", ".join(f"`{name}`" for name in fields) + "."
    yield "Annotations: " + ", ".join(f"{name} {_told(value) or 'no'}" for name, value in hints.items()) + "."


def _told(value: Any) -> str:
    return "" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"`{value}`"


def _word(schema: Mapping[str, Any]) -> str:
    [kind, *_] = [each for each in schema.get("anyOf", [schema]) if each != NULL]
    if words := kind.get("enum"):
        return ", ".join(f"`{word}`" for word in words)
    word = {"string": "text", "integer": "whole number", "array": "list", "object": "mapping", "boolean": "true, false"}
    bounds = f" {kind['minimum']:g} to {kind['maximum']:g}" if _bounded(kind) else ""
    return f"{word.get(kind['type'], kind['type'])}{bounds}"


def _bounded(kind: Mapping[str, Any]) -> bool:
    return "minimum" in kind and kind.get("maximum", LARGEST) < LARGEST


def errors_text() -> str:
    """Return the page of errors: code, meaning, whether the same call may be made again, status over plain HTTP."""
    opening = (
        "A refusal of a tool is a result with `isError`: `code`, what happened and why, `retryable`, where it is known "
        "`retry_after` (seconds), and `next_step`. The command line says the same in words, JSON-RPC in `data` of the "
        "error, plain HTTP (webhooks, the web page, `/metrics`) with the status that is named."
    )
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, OmniError)]
    rows = [_row(f"`{each.code}`", each.__doc__, _told(each.retryable), _status(each)) for each in found[1:]]
    return _page("Errors", opening, [_table(("code", "what happened", "retryable", "HTTP"), rows)])


def _status(kind: type[OmniError]) -> str:
    status = status_of(kind.__new__(kind))
    return "" if status == UNFORESEEN else str(status)


def _page(title: str, opening: str, parts: Iterator[str] | Sequence[str]) -> str:
    return "\n\n".join((f"# {title}", MADE, opening, *parts)) + "\n"


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join((_row(*head), "|" + "---|" * len(head), *rows))


def _row(*cells: str | None) -> str:
    return f"| {' | '.join(' '.join((cell or '').split()).replace('|', chr(92) + '|') for cell in cells)} |"


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text or "").split("\n\n"))
