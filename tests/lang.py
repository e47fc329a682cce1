"""What this program says to people, read from its source: `make words` lists what has no Chinese yet.

Every string that reads like words counts, unless it is told below that no person at a terminal gets to see it: so a new
message cannot be forgotten. A string becomes a template: what an f-string fills in is a placeholder `{}`, or `{!r}`
where it is quoted.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, nodes

from omni_mcp.lang import FOLDER
from omni_mcp.lang.catalogue import HOLE

PACKAGE = FOLDER.parent

NOT_FOR_PEOPLE = {
    "demo/answers.py": "what the demo's cloud answers",
    "demo/books.py": "statements",
    "demo/cloud.py": "a program for the demo and tests",
    "demo/faults/books.py": "statements",
    "demo/faults/gateway.py": "a program for the demo",
    "demo/stand_in.py": "a program for the demo",
    "demo/wire.py": "a protocol",
    "adapters/claude_ask.py": "what a model reads",
    "adapters/claude_gate.py": "what a model reads",
    "decide/handing_on.py": "what a model reads",
    "decide/remembering.py": "what a model reads",
    "decide/repair_text.py": "what a model reads",
    "decide/words.py": "patterns",
    "doctor/shell.py": "commands for a shell",
    "faces/completion.py": "what a client reads",
    "faces/hooks.py": "what another program reads",
    "faces/elicit.py": "what a model reads",
    "faces/icon.py": "a picture",
    "faces/web/live.py": "a protocol",
    "faces/metrics.py": "what another program reads",
    "faces/mcp.py": "what a model reads",
    "faces/prompts.py": "what a model reads",
    "faces/refused.py": "what a client reads",
    "faces/resources.py": "what a client reads",
    "faces/native_tasks.py": "what a model reads",
    "ledger/measure_statements.py": "statements",
    "ledger/memories.py": "statements",
    "ledger/memory_statements.py": "statements",
    "ledger/postgres/dialect.py": "statements",
    "ledger/postgres/statements.py": "statements",
    "ledger/question_statements.py": "statements",
    "ledger/schedule_statements.py": "statements",
    "ledger/statements.py": "statements",
    "ledger/usage.py": "statements",
    "llm/sse.py": "a protocol",
    "setup/text.py": "what is written into a file",
    "telemetry.py": "what another program reads",
    "testing.py": "fakes",
    "webhooks/base.py": "what another program reads",
    "webhooks/github.py": "what another program reads",
    "webhooks/openclaw.py": "what another program reads",
    "webhooks/standard.py": "what another program reads",
    "webhooks/task.py": "what another program reads",
}
"""Files whose strings nobody reads at a terminal."""

TOOLS = ("submit_task", "task_status", "task_result", "list_tasks", "cancel_task", "resume_pending", "system_mode")
"""What a next step of a tool may be, in one word."""

AS_THEY_ARE = {
    *("Claude Code", "Claude Desktop", "VS Code", "Gemini CLI", "LM Studio", "Claude Code: {}", "Claude Desktop:  {}"),
    *("Claude Code:     claude mcp add omni -- {}", "python3 hello.py → {}", "submit_task {!r}", "HTTP {}: {}"),
    *('{} submit "write a haiku about queues" --wait', "{} list", "{} demo"),
    *(
        "Description=omni-mcp, {}",
        "json",
        "user",
        "default",
        "Library/Application Support",
        "integrity_check: {}",
        "coding, general, always_on, …",
    ),
    *(
        "preset: {}",
        "handles: [{}]",
        "models.for: {}",
        "litellm_params: {model: {}, …}",
        "--config {}",
        "nohup {} > litellm.log 2>&1 &",
        'cat "${}" 2>/dev/null && rm -f "${}" || echo spent',
        'fault_handler: {repair: {restart: "docker compose restart litellm", cwd: ~/litellm}}',
        'fault_handler: {repair: {commands: ["docker compose logs --tail 200 litellm"]}}',
        "executors: {claude_code: {preset: claude-code, handles: [coding, system_repair]}}",
        "openai",
        "server",
        "memory",
        "text",
        "legacy",
    ),
    # of the web page
    *("English", '<time datetime="{}" title="{}" data-ago>{}</time>', "camera=(), geolocation=(), microphone=()"),
    *('<!doctype html><meta http-equiv="refresh" content="0;url={}">', "auto"),
    (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    *("SQLite {}", "{} {}, Python {} ({})", "order: {}", "--force --yes", "{} install claude-code --yes", "{} serve"),
    *("LiteLLM: {}", "LiteLLM: {}; {}", "{} UTC {} → {}: {}", "HTTP {}", "anthropic"),
    # what stands in a result
    *(
        "No file was changed; the worktree of this task is removed.",
        "Kept: {}. {}",
        "{}; the whole diff is in {} ({} bytes).",
    ),
    *("What it changed cannot be listed ({}); all of it is kept: {}.", "The first {} characters; the rest is in {}"),
    *("No file differs, but there are commits.", "Only files that .gitignore names were made.", "worktree"),
    '{"{}": "{}", "{}": true, "{}": n, "{}": seconds, "{}": n, "{}": false}',
    # what others say, looked for
    *("unknown option", "No conversation found with session ID", "No space", "No such file", "File exists"),
    *("password authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry", "too many"),
    *("translate host name", "Connection refused", "remaining connection slots", "starting up", "shutting down"),
    "not yet accepting",
    *("inside", "beside", "in progress", "begin; {}", "create table moved (place text not null) strict"),
    *(
        "Task execution process exited before restart",
        "Not a directory",
        "unable to open",
        "not a database",
        "Hello, World!",
        "Done, step by step",
        "{} begin",
    ),
    *("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run", "{} UTC"),
    *("openclaw is not configured", "%(asctime)s %(levelname)s %(name)s: %(message)s"),
    *("stopped by omni-orchestrator", "OpenClaw {}"),
    # what models read
    (
        "Do the whole task that the user gives you and answer in the language in which it is written. You have no "
        "tools and nobody can answer questions: where something is left open, choose, and say what you assumed."
    ),
    (
        "You were interrupted. Go on with the task from where you stopped. Look at what is already done before you "
        "act, and do not repeat a step that is finished."
    ),
    "You work in a git worktree of {}. Change files below {} only.",
    *("While you were away a person answered what you had asked; make the same call again: {}", "Nobody decided"),
    *("写一个 Hello World 函数", "Plan a team dinner in three steps: pick a date, choose a menu, list what to buy"),
    *("Release the storefront: pack it, ship it, check it, announce it", "Order {}: write the confirmation"),
    "from importlib.util import find_spec; raise SystemExit(not all(map(find_spec, {})))",
    *("{} {} s ({})", "→ completed", "→ failed"),
    # why it is not in the language that was asked for
    *("omni-mcp: the messages are in English, {}", "the placeholders of {!r} do not fit {!r}"),
    "omni-mcp: the messages are in English, the encoding {} has no other",
    "omni-mcp: OMNI_LANG={!r} is not spoken here, but: {}",
}
"""What is the same in every language."""

CALLS_NOT_FOR_PEOPLE = (
    "logger.",
    "re.",
    "_search",
    "startswith",
    "endswith",
    "removeprefix",
    "cast",
    "TypeVar",
    "add_argument",
)
"""Calls whose strings go elsewhere: to the log, into a pattern, to a type checker."""

KEYWORDS_NOT_FOR_PEOPLE = ("extra", "name", "event", "prefix", "metavar", "description")
"""Arguments whose strings go elsewhere: names of threads and fields, what a model reads of a tool."""

STATEMENT = re.compile(
    r"select .*|insert (or|into) .*|update \S+ set .*|delete from .*|begin immediate.*|pragma .*|savepoint \w+|"
    r"release unit|rollback to .*|(and|where) \w\.\w+ .*|group by .*|vacuum into .*|attach .* as .*"
)
COMMAND = re.compile(
    r"(omni-mcp|claude|npm|pip|docker|chmod|cp|du|export|kill|mv|sed|unset|Bearer|data:|event:)( [^\s,;]+)*"
)
PROSE = re.compile(r"\b(a|again|an|another|in|or|refused|shows|the|then|with)\b")
TYPE = re.compile(r"[A-Za-z_.]+( \| [A-Za-z_.]+)+|(dict|list|Mapping|Sequence)\[.*")
WORDS = re.compile(r"[A-Za-z]\S* |\S* [A-Za-z]{2}")
ONE_WORD = re.compile(r"[A-Za-z][a-z]+[.?]?")
STYLED_WORD = re.compile(r"\[[a-z]+\]([a-z-]+)")


@dataclass(frozen=True, slots=True)
class Message:
    """A template and where it arises."""

    template: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.template}"


def messages(package: Path = PACKAGE) -> Iterator[Message]:
    """Return everything that this program says to people."""
    for path in sorted(package.rglob("templates/**/*.html")):
        yield from _of_a_page(path.relative_to(package).as_posix(), path.read_text(encoding="utf-8"))
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if name not in NOT_FOR_PEOPLE:
            yield from _File(name, ast.parse(path.read_text(encoding="utf-8"))).messages()


def _of_a_page(name: str, source: str) -> Iterator[Message]:
    """Return what a template of the web page says: what `_` is called with, and the names in its lists."""
    tree = Environment(autoescape=True).parse(source)
    said = [call.args[0] for call in tree.find_all(nodes.Call) if getattr(call.node, "name", "") == "_"]
    listed = [item for each in tree.find_all(nodes.List) for item in each.items]
    named = [item.items[-1] for item in listed if isinstance(item, nodes.Tuple)]
    for text, line in {(text, node.lineno) for node in (*said, *named) for text in _constants(node)}:
        if re.search("[A-Za-z]", text):
            yield Message(text, name, line)


def _constants(node: nodes.Node) -> Iterator[str]:
    match node:
        case nodes.Const(value=str() as text):
            yield text
        case nodes.CondExpr(expr1=one, expr2=other):
            yield from (*_constants(one), *(_constants(other) if other is not None else ()))
        case nodes.Or(left=one, right=other):
            yield from (*_constants(one), *_constants(other))
        case _:
            return


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    tree: ast.Module

    def messages(self) -> Iterator[Message]:
        hidden = set(self._hidden())
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in hidden:
                hidden |= _pieces(node)
                yield from self._said(node)
        for node in ast.walk(self.tree):
            yield from self._shown(node)

    def _hidden(self) -> Iterator[int]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield id(node.value)
            for part in (*_elsewhere(node), *self._commands(node)):
                yield from (id(inner) for inner in ast.walk(part))

    def _commands(self, node: ast.AST) -> Iterator[ast.AST]:
        """Return what doctor's checks call a fix: a command that a shell takes as it stands."""
        if self.name.startswith("doctor/"):
            match node:
                case ast.Assign(targets=[ast.Name("fix")], value=command) | ast.keyword(arg="fix", value=command):
                    yield command
                case _:
                    return

    def _said(self, node: ast.Constant | ast.JoinedStr) -> Iterator[Message]:
        for template in templates(node):
            if WORDS.search(template) or (self.name.startswith("views/") and template in TOOLS):
                yield Message(template, self.name, node.lineno)

    def _shown(self, node: ast.AST) -> Iterator[Message]:
        """Return the single words that are shown, and the help of commands."""
        for line, text in (*_labels(node, self.name), *_spoken(node), *_alternatives(node), *_help(node)):
            yield from (Message(template, self.name, line) for template in _lines(text))


def _elsewhere(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Call(func=function, args=args, keywords=keywords):
            called = ast.unparse(function)
            if called.startswith(CALLS_NOT_FOR_PEOPLE) or called.endswith(CALLS_NOT_FOR_PEOPLE):
                yield from (*args, *keywords)
            yield from (each for each in keywords if each.arg in KEYWORDS_NOT_FOR_PEOPLE)
        case ast.arg(annotation=ast.expr() as kind) if "Field(" in ast.unparse(kind):
            yield kind
        case ast.AnnAssign(annotation=kind):
            yield kind
        case _:
            return


def _pieces(node: ast.AST) -> set[int]:
    """Return the constant parts of an f-string: they are in its template. What it fills in is looked at by itself."""
    return (
        {id(part) for part in node.values if isinstance(part, ast.Constant)}
        if isinstance(node, ast.JoinedStr)
        else set()
    )


def _help(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the paragraphs of a command's help."""
    if isinstance(node, ast.FunctionDef) and any(
        "command(" in ast.unparse(each) or "callback(" in ast.unparse(each) for each in node.decorator_list
    ):
        for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
            text = " ".join(paragraph.split())
            yield node.lineno, re.sub(r"^Example: .*", "Example: {}", text)


def _labels(node: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    """Return the single words that are shown as they stand: of states, tables and facts."""
    match node:
        case ast.Tuple(elts=[ast.Constant("green" | "yellow" | "red"), ast.Constant() as word, *_]):
            yield _word(word)
        case ast.ClassDef(name="TaskState" | "WaitingFor" | "Mode"):
            yield from (_word(each.value) for each in node.body if isinstance(each, ast.Assign))
        case ast.Call(func=ast.Name("Table" | "Folding"), args=args):
            yield from map(_word, args)
        case ast.Dict(keys=keys) if name.startswith("faces/text/"):
            yield from (_word(key) for key in keys if key)
        case ast.FunctionDef(name="in_words"):
            units = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
            yield from ((node.lineno, f"{{}} {unit}") for unit in ("s", *units) if unit in ("d", "h", "min", "s"))
        case ast.Constant(value=str() as text) if styled := STYLED_WORD.fullmatch(text):
            yield node.lineno, styled[1]
        case _:
            return


def _spoken(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the single words that are said where they are printed."""
    match node:
        case ast.Call(func=ast.Name("say"), args=[ast.IfExp(body=one, orelse=other)]):
            yield from map(_word, (one, other))
        case ast.Call(func=ast.Name("say"), args=[word]):
            yield _word(word)
        case _:
            return


def _alternatives(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the single words of which a message holds one or the other."""
    match node:
        case ast.BoolOp(op=ast.Or(), values=[*_, last]):
            yield from _choices(last)
        case ast.IfExp(body=body, orelse=other):
            yield from (*_choices(body), *_choices(other))
        case _:
            return


def _choices(node: ast.expr) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = re.sub(r"^\[[a-z]+\]", "", node.value)
        if ONE_WORD.fullmatch(text) and " " not in text:
            yield node.lineno, text


def _word(node: ast.expr) -> tuple[int, str]:
    return node.lineno, str(node.value) if isinstance(node, ast.Constant) else ""


def templates(node: ast.Constant | ast.JoinedStr) -> Iterator[str]:
    """Return the templates of a string: each line of it is one."""
    if isinstance(node, ast.JoinedStr):
        yield from _lines("".join(map(_part, node.values)))
    elif isinstance(node.value, str):
        yield from _lines(HOLE.sub("{}", node.value))


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        return "{!r}" if part.conversion == ord("r") else "{}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        template = re.sub(r"(\{\})+", "{}", line).strip().lstrip(".;,: ")
        template = re.sub(r"^\(([^()]*)\)$", r"\1", template)
        if _meant(template):
            yield template


def _meant(template: str) -> bool:
    words = re.search(r"[A-Za-z]", template.replace("{!r}", ""))
    command = COMMAND.fullmatch(template) and not PROSE.search(re.sub(r"\".*\"", "", template))
    return (
        bool(words)
        and not template.startswith(("%", "#", "(?"))
        and not (command or STATEMENT.fullmatch(template) or TYPE.fullmatch(template))
    )


def normal(template: str) -> str:
    """Return a template of a catalogue as the source gives it: without the names."""
    return HOLE.sub(lambda hole: f"{{{hole['quoted'] or ''}}}", template)


def catalogue(language: str, *sections: str) -> Mapping[str, str]:
    """Return what a catalogue has in these sections."""
    tree = yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return {text: other for section in sections for text, other in tree.get(section, {}).items()}


def missing(found: Iterable[Message]) -> list[Message]:
    """Return what has no Chinese, each template once."""
    known = AS_THEY_ARE | set(map(normal, catalogue("zh", "ours", "libraries")))
    return list({message.template: message for message in found if message.template not in known}.values())


def main() -> int:
    """List what has no Chinese; returns 1 if anything is listed."""
    lacking = missing(messages())
    for message in lacking:
        sys.stdout.write(f"omni_mcp/{message}\n")
    sys.stdout.write(f"{len(lacking)} messages have no Chinese in omni_mcp/lang/zh.yaml\n")
    return min(len(lacking), 1)


if __name__ == "__main__":
    raise SystemExit(main())
