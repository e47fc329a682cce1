"""The home and its servers.yaml: what is configured, and what of it cannot be used and why.

Everything comes from the home (`OMNI_HOME`, `--home`) and the environment, nothing from the current directory: a
repository must not be able to redirect keys or add executors.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from omni_mcp.errors import SettingsError
from omni_mcp.task import Recovery
from omni_mcp.yaml_file import Document, Flaw, KeyPath, expand, read, without

Preset = Literal["assistant", "claude-code", "openclaw", "moltworker", "codex"]


@dataclass(frozen=True, slots=True)
class Home:
    """One folder, one world: settings, ledger, locks, logs, working folders."""

    root: Path

    @classmethod
    def locate(cls, given: Path | None = None) -> Self:
        """Return the home: the one given, else `OMNI_HOME`, else the platform's user data folder."""
        if given is None and (named := os.environ.get("OMNI_HOME")):
            given = Path(named)
        return cls((given or Path(platformdirs.user_data_dir("omni-mcp", appauthor=False))).expanduser().absolute())

    @property
    def servers(self) -> Path:
        """The settings file."""
        return self.root / "servers.yaml"

    @property
    def dotenv(self) -> Path:
        """Variables for the settings file, one `NAME=value` a line."""
        return self.root / ".env"

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.root / "ledger.db"

    @property
    def owners(self) -> Path:
        """Lock files of the living."""
        return self.root / "owners"

    @property
    def engine_lock(self) -> Path:
        """Held by the one engine."""
        return self.root / "engine.lock"

    @property
    def engine_start(self) -> Path:
        """Held by who starts one, until it is up."""
        return self.root / "engine.start.lock"

    @property
    def engine_log(self) -> Path:
        """What the background engine prints."""
        return self.root / "logs" / "engine.log"

    @property
    def work(self) -> Path:
        """Parent of the folders of tasks that name no `cwd`."""
        return self.root / "work"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


def _absolute(path: Path) -> Path:
    try:
        full = path.expanduser()
    except RuntimeError as error:
        raise ValueError("names a user that does not exist") from error
    if not full.is_absolute():
        raise ValueError("is not absolute: begin it with / or ~")
    return full


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w{0,63}", name.replace("-", "_"), re.ASCII):
        raise ValueError("the name of an executor is one word of letters, digits, _ and -, beginning with a letter")
    return name


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise ValueError("begins with neither http:// or https:// nor ws:// or wss://")
    return url


def _model_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    complete = isinstance(row.get("model_name"), str) and isinstance(row.get("litellm_params"), dict)
    if not complete:
        raise ValueError("needs model_name (a word) and litellm_params (a mapping), as LiteLLM writes them")
    return row


Folder = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, AfterValidator(_plain)]
Url = Annotated[str, AfterValidator(_web)]
ModelRow = Annotated[Mapping[str, Any], AfterValidator(_model_row)]


class ExecutorRow(_Row):
    """One executor, as written in servers.yaml: a preset, or an MCP server by command or url."""

    preset: Preset | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    cwd: Folder | None = None
    url: Url | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    token: SecretStr | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    result: str = "text"
    """`text`, `structured`, or a JSON pointer into the structured result."""
    handles: tuple[str, ...] = ()
    recovery: Recovery | None = None
    parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    """Seconds that its session may take to open."""
    timeout: Annotated[float, Field(gt=0)] = 3600
    """Seconds that one attempt may take."""
    roots: tuple[Folder, ...] = ()
    """Folders that a `cwd` has to be below."""
    permissions: Literal["read-only", "edit", "full"] = "edit"
    model: str | None = None
    login: Literal["relay", "own"] | None = None
    """Where model calls go: through the engine's relay, or by a login of the executor's own."""
    protocol: Literal["auto", "legacy"] = "auto"
    """`legacy` skips the probe for the newer MCP protocol, which costs 10 s with servers that drop unknown methods."""

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if self.command and self.url:
            raise ValueError("has both command and url: keep one of them")
        if self.preset in ("openclaw", "moltworker") and not self.url:
            raise ValueError(f"needs url (where the {self.preset} gateway listens)")
        if self.preset is None and not (self.command or self.url):
            raise ValueError("needs one of preset, command or url")
        return self

    @model_validator(mode="after")
    def _is_good_for_something(self) -> Self:
        if self.preset is None and self.tool is None and not self.handles:
            raise ValueError("needs handles (the task types that it takes) or tool (the tool to call)")
        return self


class Rule(_Row):
    """One routing rule; the first that fits wins."""

    executor: str
    type: str | None = None
    keywords: tuple[str, ...] = ()
    builtin_words: bool = False
    """Besides the keywords, use what this package knows of the type (`coding`, `always_on`)."""
    fallback: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _knows_words(self) -> Self:
        if self.builtin_words and self.type not in ("coding", "always_on"):
            raise ValueError("has builtin_words, which there are only for type coding and type always_on")
        return self


PLAN_KEYWORDS = ("代码", "编程", "函数", "写", "python", "js", "java", "rust", "go")
"""The nine words of the plan that mean coding."""

PLAN_RULES = (
    Rule(type="always_on", builtin_words=True, executor="moltworker", fallback=("openclaw", "assistant")),
    Rule(type="coding", keywords=PLAN_KEYWORDS, builtin_words=True, executor="claude_code", fallback=("assistant",)),
    Rule(type="general", executor="openclaw", fallback=("assistant",)),
)


class Routing(_Row):
    """Who gets what."""

    rules: tuple[Rule, ...] = PLAN_RULES
    default: str = "assistant"

    @property
    def in_force(self) -> tuple[Rule, ...]:
        """The rules of the file; without any the plan's, whose last resort is the default of the file."""
        if "rules" in self.model_fields_set:
            return self.rules
        return tuple(rule.model_copy(update={"fallback": (*rule.fallback, self.default)}) for rule in PLAN_RULES)


class Models(_Row):
    """What serves model calls. `model_list` is LiteLLM's own, handed to its Router as it stands."""

    model_list: tuple[ModelRow, ...] = Field(default=(), repr=False)
    router_settings: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    use: Mapping[str, str] = Field(default_factory=dict, alias="for")
    """Task type -> model name; `default` for the rest."""

    def model_for(self, task_type: str | None) -> str | None:
        """Return the model name for a task type: its own, else `default`, else the first of `model_list`."""
        if chosen := self.use.get(task_type or "default") or self.use.get("default"):
            return chosen
        return str(self.model_list[0]["model_name"]) if self.model_list else None


class Limits(_Row):
    """Bounds that hold for every task."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    description_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    engine_idle_seconds: Annotated[float, Field(gt=0)] = 600


def _default_executors() -> dict[str, ExecutorRow]:
    return {
        "claude_code": ExecutorRow(preset="claude-code", handles=("coding",)),
        "assistant": ExecutorRow(preset="assistant", handles=("general",)),
    }


class ServersFile(_Row):
    """servers.yaml."""

    executors: Mapping[Name, ExecutorRow] = Field(default_factory=_default_executors)
    routing: Routing = Routing()
    models: Models = Models()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the settings that cannot be used, with its place and its fix."""

    where: str
    """`servers.yaml line 7, executors.openclaw.url`."""
    what: str
    fix: str
    executor: str | None = None
    """The executor that it disables."""
    disables_all: bool = False
    """Nobody can say which executors are meant, so none is used."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. Fix: {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds now."""

    home: Home
    servers: ServersFile
    problems: Sequence[Problem] = ()
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """`.env` of the home, for the engine; never handed to a child whole."""

    @property
    def names(self) -> Sequence[str]:
        """All executors that the file names, usable or not."""
        return sorted({*self.servers.executors, *(p.executor for p in self.problems if p.executor)})

    def problem_of(self, executor: str) -> Problem | None:
        """Return what disables an executor, else None."""
        return next((p for p in self.problems if p.disables_all or p.executor == executor), None)


def load(home: Home) -> Settings:
    """Read servers.yaml and `.env` of a home. Never raises: what cannot be used is in `problems`, with its fix."""
    secrets, problems = _dotenv(home.dotenv)
    try:
        document = read(home.servers)
    except FileNotFoundError:
        servers = ServersFile()
    except SettingsError as error:
        servers = ServersFile()
        problems.append(_whole_file(home.servers, error))
    else:
        servers, flaws = _usable(document, {**secrets, **os.environ})
        problems.extend(_problem(flaw, document) for flaw in flaws)
    return Settings(home=home, servers=servers, problems=problems, secrets=secrets)


def _dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError):
        return {}, [Problem(where=str(path), what="cannot be read", fix="let its owner read it, as UTF-8 text")]
    return {name: value for name, value in values.items() if value is not None}, []


def _whole_file(path: Path, error: SettingsError) -> Problem:
    return Problem(where=str(path), what=error.message, fix=error.next_step or f"mend {path}", disables_all=True)


def _usable(document: Document, variables: Mapping[str, str]) -> tuple[ServersFile, Sequence[Flaw]]:
    """Return what of the file can be used, and what is wrong with the rest: a flaw takes away its own row only."""
    tree, unset = expand(document.tree, variables)
    flaws = {flaw.path: flaw for flaw in (*_misshapen(tree), *unset)}
    return ServersFile.model_validate(without(tree, {_unit(path) for path in flaws})), list(flaws.values())


def _misshapen(tree: Any) -> Iterator[Flaw]:
    try:
        ServersFile.model_validate(tree)
    except ValidationError as error:
        yield from map(_flaw, error.errors(include_input=False, include_url=False))


_TABLES: Mapping[KeyPath, type[BaseModel]] = {
    (): ServersFile,
    ("executors", "*"): ExecutorRow,
    ("routing",): Routing,
    ("routing", "rules", "*"): Rule,
    ("models",): Models,
    ("limits",): Limits,
}
"""Where in the file which keys may stand."""

_ROWS = (("executors", "*"), ("routing", "rules", "*"), ("models", "model_list", "*"))
"""What is used whole or not at all."""


def _unit(path: KeyPath) -> KeyPath:
    """Return what a flaw takes away: the row that it is in, else just the key."""
    return next((path[: len(row)] for row in _ROWS if _fits(path[: len(row)], row)), path)


def _fits(path: KeyPath, pattern: KeyPath) -> bool:
    return len(path) == len(pattern) and all(want in ("*", key) for key, want in zip(path, pattern, strict=True))


_FIXES = {
    "missing": "add it",
    "string_type": "put the value in quotes",
    "model_type": "write `key: value` lines below it",
    "dict_type": "write `key: value` lines below it",
    "mapping_type": "write `key: value` lines below it",
    "tuple_type": "write a list: [one, two]",
    "value_error": "change the row accordingly",
}


def _flaw(found: ErrorDetails) -> Flaw:
    path = tuple(str(key) for key in found["loc"] if key != "[key]")
    if found["type"] == "extra_forbidden":
        return Flaw(path=path, what=f"{path[-1]!r} is no key here", fix=_other_key(path))
    what = found["msg"].removeprefix("Value error, ")
    return Flaw(path=path, what=what, fix=_FIXES.get(found["type"], "change the value accordingly"))


def _other_key(path: KeyPath) -> str:
    table = next((table for where, table in _TABLES.items() if _fits(path[:-1], where)), ServersFile)
    keys = [info.alias or name for name, info in table.model_fields.items()]
    near = difflib.get_close_matches(path[-1], keys, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the keys here are: {', '.join(keys)}"


def _problem(flaw: Flaw, document: Document) -> Problem:
    row = _fits(_unit(flaw.path), ("executors", "*"))
    return Problem(
        where=document.where(flaw.path),
        what=flaw.what,
        fix=flaw.fix,
        executor=flaw.path[1] if row else None,
        disables_all=_hides_executors(flaw.path, document),
    )


def _hides_executors(path: KeyPath, document: Document) -> bool:
    """Whether executors are meant here that cannot be read: then the default ones would be somebody else's choice."""
    unknown = len(path) == 1 and path[0] not in ServersFile.model_fields
    return path == ("executors",) or (unknown and "executors" not in document.tree)
