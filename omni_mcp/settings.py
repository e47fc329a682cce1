"""The home and its servers.yaml: what is configured, and what of it cannot be used and why.

Everything comes from the home (`OMNI_HOME`, `--home`), nothing from the current directory: a repository must not
be able to redirect keys or add executors.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import platformdirs
import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from omni_mcp.errors import SettingsError
from omni_mcp.task import Recovery

MAX_FILE_BYTES = 1 << 20
"""A servers.yaml larger than this is refused unread."""

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
    def engine_log(self) -> Path:
        """What the background engine prints."""
        return self.root / "logs" / "engine.log"

    @property
    def work(self) -> Path:
        """Parent of the folders of tasks that name no `cwd`."""
        return self.root / "work"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExecutorRow(_Row):
    """One executor, as written in servers.yaml: a preset, or an MCP server by command or url."""

    preset: Preset | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict)
    cwd: Path | None = None
    url: str | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    token: SecretStr | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    result: str = "text"
    """`text`, `structured`, or a JSON pointer into the structured result."""
    handles: tuple[str, ...] = ()
    recovery: Recovery | None = None
    parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    timeout: Annotated[float, Field(gt=0)] = 3600
    """Seconds that one attempt may take."""
    roots: tuple[Path, ...] = ()
    """Folders that a `cwd` has to be below."""
    permissions: Literal["read-only", "edit", "full"] = "edit"
    model: str | None = None
    login: Literal["relay", "own"] | None = None
    """Where model calls go: through the engine's relay, or by a login of the executor's own."""
    protocol: Literal["auto", "legacy"] = "auto"
    """`legacy` skips the probe for the newer MCP protocol, which costs 10 s with servers that drop unknown methods."""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = [name for name in ("command", "url") if getattr(self, name)]
        if self.preset in (None, "openclaw", "moltworker") and len(ways) != 1:
            raise ValueError("needs exactly one of preset, command or url")
        if self.preset is None and self.tool is None and not self.handles:
            raise ValueError("needs handles (the task types it takes)")
        return self


class Rule(_Row):
    """One routing rule; the first that fits wins."""

    executor: str
    type: str | None = None
    keywords: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()


PLAN_KEYWORDS = ("代码", "编程", "函数", "写", "python", "js", "java", "rust", "go")
"""The nine words of the plan that mean coding."""

PLAN_RULES = (
    Rule(type="coding", keywords=PLAN_KEYWORDS, executor="claude_code", fallback=("assistant",)),
    Rule(type="always_on", keywords=("24/7",), executor="moltworker", fallback=("openclaw", "assistant")),
    Rule(type="general", executor="openclaw", fallback=("assistant",)),
)


class Routing(_Row):
    """Who gets what."""

    rules: tuple[Rule, ...] = PLAN_RULES
    default: str = "assistant"


class Models(_Row):
    """What serves model calls. `model_list` is LiteLLM's own, handed to its Router as it stands."""

    model_list: tuple[Mapping[str, Any], ...] = ()
    router_settings: Mapping[str, Any] = Field(default_factory=dict)
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

    executors: Mapping[str, ExecutorRow] = Field(default_factory=_default_executors)
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
    """The row that it disables; None: the whole file."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}"


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
        """Return what disables an executor, or the whole file, else None."""
        return next((p for p in self.problems if p.executor in (executor, None)), None)


def load(home: Home) -> Settings:
    """Read servers.yaml and `.env` of a home. Never raises: what cannot be used is in `problems`, with its fix."""
    secrets = {k: v for k, v in dotenv_values(home.root / ".env").items() if v is not None}
    if not home.servers.exists():
        return Settings(home=home, servers=ServersFile(), secrets=secrets)
    try:
        tree, lines = _parse(home.servers)
    except SettingsError as error:
        problem = Problem(where=str(home.servers), what=error.message, fix=error.next_step or "")
        return Settings(home=home, servers=ServersFile(), problems=[problem], secrets=secrets)
    servers, problems = _validate(tree, _Reader(home.servers.name, lines, {**secrets, **os.environ}))
    return Settings(home=home, servers=servers, problems=problems, secrets=secrets)


_M = TypeVar("_M", bound=BaseModel)

Lines = Mapping[tuple[str, ...], int]
"""Path of keys -> line in the file, from 1."""

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def _parse(path: Path) -> tuple[dict[str, Any], Lines]:
    """Return the tree of the file and the line of each key. Raises SettingsError."""
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", next_step=f"mend or move {path}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise SettingsError(f"is larger than {MAX_FILE_BYTES} bytes", next_step="this is not a settings file")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise SettingsError("uses YAML aliases (*name)", next_step="write the value out")
        tree: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(*_syntax(error)) from error
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise SettingsError("line 1: is not a mapping of keys", next_step="begin with `executors:`")
    return tree, dict(_lines(root))  # pyright: ignore[reportUnknownVariableType]


def _syntax(error: yaml.YAMLError) -> tuple[str]:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return (f"{place}is not YAML: {getattr(error, 'problem', None) or error}",)


def _lines(node: yaml.Node | None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*path, str(index))
            yield inner, value.start_mark.line + 1
            yield from _lines(value, inner)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Knows where each key stands and what each variable is."""

    name: str
    lines: Lines
    variables: Mapping[str, str]

    def where(self, path: Sequence[str]) -> str:
        """Return `servers.yaml line 7, executors.openclaw.url`."""
        keys = tuple(path)
        known = next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), 1)
        return f"{self.name} line {known}, {'.'.join(keys)}"

    def expand(self, value: Any, path: tuple[str, ...]) -> Any:
        """Replace `${VAR}` and `${VAR:-default}`. Raises SettingsError for one that is not set."""
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: self._variable(found, path), value)
        if isinstance(value, dict):
            items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {str(k): self.expand(v, (*path, str(k))) for k, v in items.items()}
        if isinstance(value, list):
            entries: Sequence[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [self.expand(v, (*path, str(n))) for n, v in enumerate(entries)]
        return value

    def _variable(self, found: re.Match[str], path: tuple[str, ...]) -> str:
        value = self.variables.get(found["name"]) or found["default"]
        if value is None:
            raise SettingsError(
                f"the variable {found['name']} is not set ({self.where(path)})",
                next_step=f"set {found['name']} in the environment or in the home's .env",
            )
        return value


def _validate(tree: dict[str, Any], reader: _Reader) -> tuple[ServersFile, list[Problem]]:
    """Check each executor row by itself, then the rest: a bad row disables itself only."""
    problems: list[Problem] = []
    rows = tree.pop("executors", None)
    executors: dict[str, Any] | None = None
    if isinstance(rows, dict):
        executors = {}
        for name, row in rows.items():  # pyright: ignore[reportUnknownVariableType]
            checked = _check(ExecutorRow, row, ("executors", str(name)), reader, problems, executor=str(name))  # pyright: ignore[reportUnknownArgumentType]
            if checked is not None:
                executors[str(name)] = checked  # pyright: ignore[reportUnknownArgumentType]
    elif rows is not None:
        problems.append(
            Problem(where=reader.where(("executors",)), what="is not a mapping", fix="write `name: {preset: …}` rows")
        )
    rest = _check(ServersFile, tree, (), reader, problems, executor=None) or ServersFile()
    return rest if executors is None else rest.model_copy(update={"executors": executors}), problems


def _check(
    model: type[_M], raw: Any, path: tuple[str, ...], reader: _Reader, problems: list[Problem], *, executor: str | None
) -> _M | None:
    try:
        return model.model_validate(reader.expand(raw, path))
    except SettingsError as error:
        problems.append(
            Problem(where=reader.where(path), what=error.message, fix=error.next_step or "", executor=executor)
        )
    except ValidationError as error:
        for flaw in error.errors():
            place = (*path, *(str(part) for part in flaw["loc"]))
            problems.append(
                Problem(where=reader.where(place), what=flaw["msg"], fix="see the comments in servers.yaml of the project", executor=executor)
            )
    return None
