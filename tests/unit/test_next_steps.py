"""Every refusal that a tool may answer with names a call or command that there is: read from the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from omni_mcp import errors
from omni_mcp.cli import app
from omni_mcp.errors import OmniError
from omni_mcp.faces.mcp import TOOLS
from omni_mcp.views.next_step import BY_ITSELF, NEXT_STEP, NEXT_STEP_WAITING

PACKAGE = Path(errors.__file__).parent
BEHIND_THE_TOOLS = (
    *("errors.py", "service/*.py", "lineage.py", "decide/*.py", "faces/mcp.py"),
    *("ledger/*.py", "ledger/verbs/*.py"),
)
NAMES = frozenset(function.__name__ for function, *_ in TOOLS)
COMMANDS = frozenset(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
NOTHING_TO_CALL = {
    "do it yourself instead of handing it on; limits.max_depth in servers.yaml sets the limit": "no call is right",
    "upgrade: pip install --upgrade omni-mcp": "a program, not a call",
    "set OMNI_HOME to a folder on a local disk": "where a client starts us",
    "start again: a new one is drawn": "an engine reads it",
    "name that in OMNI_LEDGER, in the .env of the home; the password may be a variable there": "a person does",
    "write it as …": "a person does",
    "pip install 'omni-mcp[cluster]'": "a program, not a call",
    "make the home writable, or name another one: OMNI_HOME": "where a client starts us",
    "use PostgreSQL's own: pg_dump and pg_restore copy it, pg_amcheck checks it": "programs, not calls",
    "submit a task, or name another --home": "`omni-mcp check` says it",
    "name a file that omni-mcp backup wrote": "`omni-mcp restore` says it",
    "do without, or ask whoever runs this server for a token with that scope": "a person gives it",
}
"""Steps that no model can take, each with why it names no call."""


def steps() -> Iterator[tuple[str, str]]:
    """Yield each literal next step with its place; what an f-string fills in is `…`."""
    for pattern in BEHIND_THE_TOOLS:
        for file in sorted(PACKAGE.glob(pattern)):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.keyword) and node.arg == "next_step":
                    for text in texts(node.value):
                        yield f"{file.relative_to(PACKAGE)}:{node.value.lineno}", text


def texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as said):
            yield said
        case ast.JoinedStr(values=parts):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)  # type: ignore[misc]
        case ast.IfExp(body=one, orelse=other):
            yield from (*texts(one), *texts(other))
        case _:
            pass


def names_a_call(text: str) -> bool:
    """Whether a text names a tool or a command, and none that there is not."""
    tools = set(re.findall(r"\b(?:submit|task|list|cancel|answer|resume|system)_\w+", text)) - {"task_id", "task_ids"}
    commands = set(re.findall(r"omni-mcp ([a-z]+)", text))
    assert tools <= NAMES, text
    assert commands <= COMMANDS, text
    return bool(tools or commands or "call again" in text or text.startswith("call … again"))


def test_every_next_step_of_an_error_names_a_call_that_there_is() -> None:
    found = dict(steps())
    assert len(found) > 40
    assert {place: text for place, text in found.items() if not (names_a_call(text) or text in NOTHING_TO_CALL)} == {}


def test_every_refusal_in_the_source_has_a_next_step() -> None:
    lacking: list[str] = []
    for pattern in BEHIND_THE_TOOLS:
        for file in sorted(PACKAGE.glob(pattern)):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Name(id="BadRequest"), keywords=said):
                        if "next_step" not in {each.arg for each in said}:
                            lacking.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
                    case _:
                        pass
    assert lacking == []


EXAMPLES: tuple[OmniError, ...] = (
    errors.TaskNotFound("zzzzzzzz"),
    errors.TaskNotFound("z"),
    errors.TaskAmbiguous("abcdef", ["abcdefgh", "abcdefij"]),
    errors.IdempotencyConflict("k", "abcdefgh"),
    errors.TaskPurged("k", "abcdefgh", "completed"),
    errors.QuestionGone("abcdefgh", "q1"),
    errors.ForPeople("abcdefgh", "q1"),
    errors.UnknownExecutor("codex", ["worker"]),
    errors.LedgerOld(1),
)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_of_the_tree_names_a_call(error: OmniError) -> None:
    assert names_a_call(error.next_step or "")


@pytest.mark.parametrize("said", [*NEXT_STEP.values(), *NEXT_STEP_WAITING.values(), BY_ITSELF])
def test_what_a_task_names_next_is_a_tool(said: str) -> None:
    assert names_a_call(said)
