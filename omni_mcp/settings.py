"""What is configured in a home, and what of it cannot be used and why.

Everything comes from the home (`OMNI_HOME`, `--home`) and the environment, nothing from the current directory: a
repository must not be able to redirect keys or add executors.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from omni_mcp.cross_check import crossed
from omni_mcp.errors import SettingsError
from omni_mcp.home import Home
from omni_mcp.servers_file.direct import DirectRow
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.fault_handler import FaultHandler, Repair
from omni_mcp.servers_file.http import Http, JwtRow, Rate, TokenRow
from omni_mcp.servers_file.limits import Limits
from omni_mcp.servers_file.memory import MemorySettings, MemoryTool
from omni_mcp.servers_file.models import CODE, PRINTS, CallDefaults, Gateway, LitellmSettings, Models
from omni_mcp.servers_file.notify import Notify, OpenClawRow, WebhookRow
from omni_mcp.servers_file.routing import Routing, Rule
from omni_mcp.servers_file.schedules import ScheduleRow, ScheduleTask
from omni_mcp.servers_file.webhooks import HookTask, SourceRow
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings_file import read
from omni_mcp.translate.draft import Rewrite, nearest
from omni_mcp.translate.kind import Kind, Translation, translate
from omni_mcp.yaml_file import REFERENCE, Document, Flaw, KeyPath, entries, expand, without

GITHUB_KEY = "GITHUB_LITELLM_KEY"
"""The plan's variable for the one backup key, used where the file names none."""


APPRISE = "omni-mcp[apprise]"
"""The extra without which there are no notices through apprise."""
LACKS_APPRISE = f"{APPRISE} is not installed"

SECRET_LENGTH = 8
"""Characters of the shortest secret that is looked for in other texts: shorter ones are words."""
_SECRET_NAME = re.compile(r"(?:^|_)(?:key|token|secret|password|passphrase|credentials?)$", re.IGNORECASE)
"""What the variables and keys are called whose values are."""


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
    section: str | None = None
    """The top-level key that it is in; None: the whole file, or `.env`."""

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
    kind: Kind = Kind.OURS
    """Whose words the file is in."""
    rewrites: Sequence[Rewrite] = ()
    """What of a file in other words is not as it was there."""

    def __str__(self) -> str:
        """Return the file in force, and what there is to know of it."""
        if self.kind is Kind.OURS:
            return str(self.home.servers) + ("" if self.home.servers.exists() else " (not there: the defaults hold)")
        said = f"{self.kind}, read with {len(self.rewrites)} rewrites"
        return f"{self.home.servers} ({said}; omni-mcp init --print --from {self.home.servers} shows them)"

    @property
    def names(self) -> Sequence[str]:
        """All executors that the file names, usable or not."""
        return sorted({*self.servers.executors, *(p.executor for p in self.problems if p.executor)})

    @property
    def backup_keys(self) -> Mapping[str, SecretStr]:
        """The key of each direct provider that has one: its own, else `github_key`, else GITHUB_LITELLM_KEY."""
        shared = self.servers.github_key or self.variable(GITHUB_KEY)
        found = {name: row.key or shared for name, row in self.servers.direct.items()}
        return {name: key for name, key in found.items() if key is not None}

    @property
    def known_secrets(self) -> frozenset[str]:
        """Values that are known to be secret: `.env`, what the file holds as such, and variables that are called so."""
        named = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
        file = set(_secrets_in(self.servers.model_dump()))
        return frozenset(value for value in named | file | {*self.secrets.values()} if len(value) >= SECRET_LENGTH)

    def variable(self, name: str) -> SecretStr | None:
        """Return a variable of the environment, else of `.env`; None when it is unset or empty."""
        value = os.environ.get(name) or self.secrets.get(name)
        return SecretStr(value) if value else None

    @property
    def unreadable(self) -> bool:
        """Whether the file says nothing of any executor: it is broken, or half saved."""
        return any(problem.disables_all for problem in self.problems)

    def problem_of(self, executor: str) -> Problem | None:
        """Return what disables an executor, else None."""
        return next((p for p in self.problems if p.disables_all or p.executor == executor), None)


def _secrets_in(tree: Any, *, secret: bool = False) -> Iterator[str]:
    """Yield what is typed as a secret, and what has the name of one."""
    match tree:
        case SecretStr():
            yield tree.get_secret_value()
        case str() if secret:
            yield tree
        case Mapping():
            for name, value in cast("Mapping[str, Any]", tree).items():
                yield from _secrets_in(value, secret=secret or bool(_SECRET_NAME.search(name)))
        case list() | tuple():
            for value in cast("list[Any]", tree):
                yield from _secrets_in(value, secret=secret)
        case _:
            pass


def load(home: Home) -> Settings:
    """Read the settings file and `.env` of a home. Never raises: what cannot be used is in `problems`, with its fix."""
    secrets, problems = dotenv(home.dotenv)
    try:
        translation = translate(read(home.servers))
    except FileNotFoundError:
        return Settings(home=home, servers=ServersFile(), problems=[*problems, *_not_there(home)], secrets=secrets)
    except SettingsError as error:
        whole = _whole_file(home.servers, error)
        return Settings(home=home, servers=ServersFile(), problems=[*problems, whole], secrets=secrets)
    servers, found = check(translation, {**secrets, **os.environ})
    return Settings(
        home=home,
        servers=servers,
        problems=[*problems, *found],
        secrets=secrets,
        kind=translation.kind,
        rewrites=translation.rewrites,
    )


def check(translation: Translation, variables: Mapping[str, str]) -> tuple[ServersFile, Sequence[Problem]]:
    """Return what of a file can be used, and what is wrong with the rest."""
    document = translation.document
    try:
        servers, flaws = _usable(document.tree, translation.flaws, variables)
    except ValidationError as error:
        return ServersFile(), [_unusable(document, error)]
    return servers, [_problem(flaw, document) for flaw in _gathered(flaws, document)]


def _unusable(document: Document, error: ValidationError) -> Problem:
    """Return the problem of a file of which nothing can be used: what is wrong cannot be taken out of it."""
    what = error.errors(include_input=False, include_url=False)[0]["msg"]
    return Problem(where=document.name, what=what, fix=f"mend {document.name}", disables_all=True)


def _gathered(flaws: Sequence[Flaw], document: Document) -> Iterator[Flaw]:
    """Yield the flaws; a variable that many models want is one, which names the lines of the others."""
    lacking: dict[str, list[Flaw]] = {}
    for flaw in flaws:
        if flaw.unset and flaw.path[:2] == ("models", "model_list"):
            lacking.setdefault(flaw.what, []).append(flaw)
        else:
            yield flaw
    for first, *others in lacking.values():
        lines = ", ".join(sorted({str(document.line(other.path)) for other in others}, key=int))
        yield replace(first, what=f"{first.what} (also on line {lines})") if others else first


def _not_there(home: Home) -> Iterator[Problem]:
    """Yield a problem where a file was named that is not there: only the one in the home may be missing."""
    if home.config is not None:
        fix = "name a file that is there with --config or OMNI_CONFIG, or leave both away"
        yield Problem(where=str(home.config), what="is not there", fix=fix, disables_all=True)


def dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Return the variables of a `.env`, and what is wrong with it."""
    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError):
        return {}, [Problem(where=str(path), what="cannot be read", fix="let its owner read it, as UTF-8 text")]
    return {name: value for name, value in values.items() if value is not None}, []


def known_variables(home: Home) -> Mapping[str, str]:
    """Return the environment, and what the `.env` of a home adds to it."""
    return {**dotenv(home.dotenv)[0], **os.environ}


def _whole_file(path: Path, error: SettingsError) -> Problem:
    return Problem(where=str(path), what=error.message, fix=error.next_step or f"mend {path}", disables_all=True)


def _usable(
    tree: Mapping[str, Any], known: Sequence[Flaw], variables: Mapping[str, str]
) -> tuple[ServersFile, Sequence[Flaw]]:
    """Return what of the file can be used, and what is wrong with the rest: a flaw takes away its own row only."""
    filled, unset = expand(tree, variables, as_written=AS_WRITTEN)
    found = (*crossed(filled), *_misshapen(filled), *_lacking(filled), *_written_out(tree), *unset, *known)
    flaws = {flaw.path: flaw for flaw in found}
    gone = {_unit(path) for path, flaw in flaws.items() if flaw.costs}
    return ServersFile.model_validate(without(filled, gone)), list(flaws.values())


def _lacking(tree: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is asked for and comes with an extra that is not installed."""
    asked: Any = tree.get("notify")
    if isinstance(asked, dict) and "apprise" in asked and find_spec("apprise") is None:
        yield Flaw(path=("notify", "apprise"), what=LACKS_APPRISE, fix=f'pip install "{APPRISE}"')


def _written_out(tree: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield tokens of callers that stand in the file themselves: files are copied, shown and committed."""
    http: Any = tree.get("http")
    for name, row in entries(dict(entries(http)).get("tokens")):
        token = dict(entries(row)).get("token")
        if isinstance(token, str) and not REFERENCE.fullmatch(token):
            fix = "put the token into the .env of the home as OMNI_TOKEN=…, and write ${OMNI_TOKEN} here"
            yield Flaw(path=("http", "tokens", name, "token"), what="is not a variable", fix=fix)


def _misshapen(tree: Any) -> Iterator[Flaw]:
    try:
        ServersFile.model_validate(tree)
    except ValidationError as error:
        yield from map(_flaw, error.errors(include_input=False, include_url=False))


TABLES: Mapping[KeyPath, type[BaseModel]] = {
    (): ServersFile,
    ("executors", "*"): ExecutorRow,
    ("routing",): Routing,
    ("routing", "rules", "*"): Rule,
    ("models",): Models,
    ("models", "gateway"): Gateway,
    ("models", "litellm_settings"): LitellmSettings,
    ("models", "defaults"): CallDefaults,
    ("direct", "*"): DirectRow,
    ("fault_handler",): FaultHandler,
    ("fault_handler", "repair"): Repair,
    ("limits",): Limits,
    ("notify",): Notify,
    ("notify", "webhooks", "*"): WebhookRow,
    ("notify", "openclaw", "*"): OpenClawRow,
    ("webhooks", "*"): SourceRow,
    ("webhooks", "*", "task"): HookTask,
    ("memory",): MemorySettings,
    ("memory", "recall"): MemoryTool,
    ("memory", "add"): MemoryTool,
    ("memory", "prepare", "*"): MemoryTool,
    ("http",): Http,
    ("http", "tokens", "*"): TokenRow,
    ("http", "jwt"): JwtRow,
    ("http", "rate"): Rate,
    ("schedules", "*"): ScheduleRow,
    ("schedules", "*", "task"): ScheduleTask,
}
"""Where in the file which keys may stand."""

_ROWS = (
    ("routing", "rules", "*", "fallback", "*"),
    ("executors", "*"),
    ("routing", "rules", "*"),
    ("models", "model_list", "*"),
    ("models", "gateway"),
    ("direct", "*"),
    ("notify", "webhooks", "*"),
    ("notify", "apprise", "*"),
    ("notify", "openclaw", "*"),
    ("webhooks", "*"),
    ("http", "tokens", "*"),
    ("http", "jwt"),
    ("schedules", "*"),
    ("fault_handler", "repair"),
    ("memory",),
)
"""What is used whole or not at all: a row with a variable that is not set is left out, and the rest works."""

AS_WRITTEN = tuple(("fault_handler", "repair", key) for key in ("commands", "start", "restart"))
"""Where `${NAME}` is not ours to fill in: a shell does, and what it fills in may be a secret."""

_REQUIRED = (("routing", "default"), ("limits", "*"))
"""What holds for every task: without its variable nobody can say how tasks are meant to run, so none does."""


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


_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(CODE, "loads code of its own, which would run here with every key in reach"),
    **dict.fromkeys(PRINTS, "has LiteLLM print prompts to where MCP talks"),
}
"""Why some settings of a LiteLLM proxy are none of ours."""


def _flaw(found: ErrorDetails) -> Flaw:
    path = tuple(str(key) for key in found["loc"] if key != "[key]")
    if path[:-1] == ("models", "litellm_settings") and (why := _REFUSED.get(path[-1])):
        return Flaw(
            path=path, what=f"{path[-1]!r} {why}", fix="leave it in the LiteLLM proxy and name that as `gateway`"
        )
    if found["type"] == "extra_forbidden":
        return Flaw(path=path, what=f"{path[-1]!r} is no key here", fix=_other_key(path))
    what = found["msg"].removeprefix("Value error, ")
    return Flaw(path=path, what=what, fix=_FIXES.get(found["type"], "change the value accordingly"))


def _other_key(path: KeyPath) -> str:
    table = next((table for where, table in TABLES.items() if _fits(path[:-1], where)), ServersFile)
    keys = [info.alias or name for name, info in table.model_fields.items()]
    if len(path) == 1 and (place := _PLACES.get(path[0])):
        return f"write it as {place}"
    near = nearest(path[-1], keys)
    return f"did you mean {near!r}?" if near else f"the keys here are: {', '.join(keys)}"


_PLACES = {
    "model_list": "models.model_list",
    "router_settings": "models.router_settings",
    "litellm_settings": "models.litellm_settings",
    "mcp_servers": "executors",
    "mcpServers": "executors",
}
"""Where in our file stands what other files have at their top."""


def _problem(flaw: Flaw, document: Document) -> Problem:
    row = _fits(_unit(flaw.path), ("executors", "*"))
    return Problem(
        where=document.where(flaw.path),
        what=flaw.what,
        fix=flaw.fix,
        executor=flaw.path[1] if row else None,
        disables_all=_hides_executors(flaw.path, document) or (flaw.unset and _is_required(flaw.path)),
        section=flaw.path[0] if flaw.path else None,
    )


def _is_required(path: KeyPath) -> bool:
    return any(_fits(path, pattern) for pattern in _REQUIRED)


def _hides_executors(path: KeyPath, document: Document) -> bool:
    """Whether executors are meant here that cannot be read: then the default ones would be somebody else's choice."""
    unknown = len(path) == 1 and path[0] not in ServersFile.model_fields
    return path == ("executors",) or (unknown and "executors" not in document.tree)
