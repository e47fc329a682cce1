"""The text of a servers.yaml: each section with its words, and what is not used as an example to switch on. Pure.

A line `# …` explains; `#key: …` is switched off, and works when its `#` is taken away.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

SCHEMA = "servers.schema.json"
"""The file beside servers.yaml by which an editor completes and checks it."""

WIDTH = 110

HEAD = f"""\
# yaml-language-server: $schema={SCHEMA}
# Omni-Orchestrator: who runs tasks, and how they are chosen. Written by `omni-mcp init`; yours from now on.
#
# Every part may be left out. The file is read again when it changes; a row that cannot be used is reported with its
# line and its fix (omni-mcp mode), and the rest works. ${{NAME}} and ${{NAME:-default}} come from the environment or
# from `.env` beside this file. A line that begins with # and a key is switched off: take the # away.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the file."""

    key: str
    words: str
    example: str
    """What may stand there, in one line."""
    rows: Mapping[str, str]
    """Examples of single rows, by their names, where the section is in use."""


REPAIR = '{restart: "docker compose restart litellm", cwd: ~/litellm}'

SECTIONS = (
    Section(
        key="executors",
        words="Who runs tasks: a preset, or any MCP server as MCP clients write it.",
        example="{assistant: {preset: assistant, handles: [general]}}",
        rows={
            "claude_code": "{preset: claude-code, handles: [coding, system_repair], parallel: 2, roots: [~/code], "
            "permissions: edit}",
            "everything": '{command: npx, args: [-y, "@modelcontextprotocol/server-everything"], tool: echo, '
            'arguments: {message: "{description}"}, handles: [echo], recovery: retry}',
        },
    ),
    Section(
        key="routing",
        words="Who gets what; the first rule that fits wins. Without it: docs/routing.md.",
        example="{rules: [{type: coding, keywords: [代码, python], builtin_words: true, executor: claude_code, "
        "fallback: [assistant]}, {type: general, executor: assistant}], default: assistant}",
        rows={},
    ),
    Section(
        key="models",
        words="What serves model calls: a LiteLLM proxy (`gateway`), or LiteLLM's Router in process (`model_list`).",
        example="{model_list: [{model_name: usual, litellm_params: {model: anthropic/claude-haiku-4-5, "
        'api_key: "${ANTHROPIC_API_KEY}"}}]}',
        rows={"defaults": "{temperature: 0.7}"},
    ),
    Section(
        key="direct",
        words="Where model calls go while LiteLLM is broken: the providers themselves, with keys of their own.",
        example='{anthropic: {base_url: "https://api.anthropic.com", key: "${ANTHROPIC_BACKUP_KEY}", '
        "models: {default: claude-sonnet-4-6}}}",
        rows={},
    ),
    Section(
        key="github_key",
        words="One backup key for all of `direct` that name none; without it GITHUB_LITELLM_KEY is used by itself.",
        example='"${GITHUB_LITELLM_KEY}"',
        rows={},
    ),
    Section(
        key="fault_handler",
        words="When LiteLLM counts as broken, in seconds; and how it may be brought back (docs/faults.md).",
        example=f"{{lite_llm_timeout: 1.0, consecutive_failures: 2, check_interval: 30, repair: {REPAIR}}}",
        rows={"repair": REPAIR},
    ),
    Section(
        key="limits",
        words="Bounds that hold for every task.",
        example="{max_attempts: 3, engine_idle_seconds: 600}",
        rows={},
    ),
    Section(
        key="notify",
        words="Who is told of changes of mode and of questions, besides the log: docs/faults.md has all channels.",
        example="{desktop: true}",
        rows={},
    ),
    Section(
        key="webhooks",
        words="Whose POSTs `omni-mcp serve` turns into tasks, by name: docs/openclaw-client.md.",
        example='{claw: {kind: openclaw, token: "${CLAW_HOOK_TOKEN}", '
        'task: {description: "Look into what {job} found: {summary}", executor: assistant}}}',
        rows={},
    ),
    Section(
        key="schedules",
        words="Tasks again and again, by name: docs/schedules.md.",
        example='{nightly: {cron: "30 2 * * *", task: {description: "Look through the logs", executor: assistant}}}',
        rows={},
    ),
    Section(
        key="memory",
        words="What completed tasks leave for the tasks after them: docs/memory.md.",
        example="{kind: embedded}",
        rows={},
    ),
    Section(
        key="http",
        words="Who may call `omni-mcp serve`, and how much: docs/http.md.",
        example='{tokens: {me: {token: "${OMNI_TOKEN}"}}}',
        rows={},
    ),
    Section(
        key="log_format",
        words="How the engine and `omni-mcp serve` log, text or json: docs/observability.md.",
        example="json",
        rows={},
    ),
)


def text_of(tree: Mapping[str, Any], *, said: str = "", repair: Mapping[str, Any] | None = None) -> str:
    """Return the text of a file with this tree; `said` are lines about where it comes from.

    `repair` is how LiteLLM could be repaired here; it stands there switched off.
    """
    head = HEAD + "".join(f"# {line}\n" for line in said.splitlines())
    text = "\n".join([head, *(_section(section, tree) for section in SECTIONS)])
    return text if repair is None else text.replace(REPAIR, _flow(dict(repair)))


def _section(section: Section, tree: Mapping[str, Any]) -> str:
    if section.key not in tree:
        return f"# {section.words}\n#{section.key}: {section.example}\n"
    value = tree[section.key]
    used: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    more = [f"  #{name}: {row}" for name, row in section.rows.items() if name not in used]
    return "\n".join([f"# {section.words}", *_block(section.key, value), *more, ""])


def _block(key: str, value: Any) -> Iterator[str]:
    """Yield a section: its rows below it, each on one line where it fits."""
    if isinstance(value, Mapping) and value:
        yield f"{key}:"
        for name, row in cast("Mapping[str, Any]", value).items():
            yield from _lines(f"{_flow(name)}: ", row, "  ")
    else:
        yield f"{key}: {_flow(value)}"


def _lines(prefix: str, value: Any, indent: str) -> Iterator[str]:
    line = f"{indent}{prefix}{_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, Mapping | list) or not value:
        yield line
        return
    inner = indent + "  "
    below = list(_children(value, inner))
    if prefix == "- ":
        yield indent + prefix + below[0][len(inner) :]
        yield from below[1:]
    else:
        yield f"{indent}{prefix.rstrip()}"
        yield from below


def _children(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, child in cast("Mapping[str, Any]", value).items():
            yield from _lines(f"{_flow(key)}: ", child, indent)
    else:
        for child in cast("list[Any]", value):
            yield from _lines("- ", child, indent)


def _flow(value: Any) -> str:
    said = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 20)
    return said.strip().removesuffix("\n...").strip()


_SECRET = ("key", "token", "secret", "password", "authorization")
_ALL_SECRET = ("env", "headers", "extra_headers")
_HEADER_FLAGS = ("-H", "--header")

_NAMED = rf"[\w.-]*(?:{'|'.join(_SECRET)})"
_ARGUMENT = re.compile(rf"\A(-*{_NAMED}\s*[=:]\s*)(.+)\Z", re.IGNORECASE | re.DOTALL)
"""`--api-key=KEY`, `API_KEY=KEY`, `Authorization: Bearer KEY`."""
_IN_URL = re.compile(rf"(://)([^/?#\s]+)(?=@)|([?&]{_NAMED}=)([^&#\s]+)", re.IGNORECASE)
"""Who asks, and a key in the query."""
_DEFAULT = re.compile(r"(\$\{\w+:-)[^}]+")


def masked(value: Any, *, secret: bool = False) -> Any:
    """Return a tree to show: what may be a key in plain is `…`, what names a variable is not."""
    if isinstance(value, Mapping):
        rows = cast("Mapping[str, Any]", value).items()
        return {key: _masked_row(key, child, secret=secret or _may_hold_a_secret(key)) for key, child in rows}
    if isinstance(value, list):
        return [masked(child, secret=secret) for child in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    return _hidden(value) if secret else _IN_URL.sub(_hidden_part, value)


def _masked_row(key: str, value: Any, *, secret: bool) -> Any:
    if key != "args" or secret or not isinstance(value, list):
        return masked(value, secret=secret)
    words = cast("list[Any]", value)
    return [_argument(word, before) for before, word in zip(["", *words], words, strict=False)]


def _argument(word: Any, before: Any) -> Any:
    """Return an argument to show; `before` is the one before it, which may be the name of this one."""
    named = isinstance(before, str) and before.startswith("-") and "=" not in before
    if named and (before in _HEADER_FLAGS or _may_hold_a_secret(before)):
        return masked(word, secret=True)
    return _ARGUMENT.sub(_hidden_part, masked(word)) if isinstance(word, str) else word


def _hidden_part(found: re.Match[str]) -> str:
    name, value = (part for part in found.groups() if part is not None)
    return name + _hidden(value)


def _hidden(value: str) -> str:
    return _DEFAULT.sub(r"\1…", value) if "${" in value else "…"


def _may_hold_a_secret(key: str) -> bool:
    return key in _ALL_SECRET or key.lower().endswith(_SECRET)
