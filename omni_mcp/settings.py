"""What is configured in a home, and what of it cannot be used and why.

Everything comes from the home (`OMNI_HOME`, `--home`) and the environment, nothing from the current directory: a
repository must not be able to redirect keys or add executors.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values
from pydantic import SecretStr

from omni_mcp.errors import SettingsError
from omni_mcp.file_check.check import check
from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings_file import read
from omni_mcp.translate.draft import Rewrite
from omni_mcp.translate.kind import Kind, translate

GITHUB_KEY = "GITHUB_LITELLM_KEY"
"""The plan's variable for the one backup key, used where the file names none."""
SECRET_LENGTH = 8
"""Characters of the shortest secret that is looked for in other texts: shorter ones are words."""
_SECRET_NAME = re.compile(r"(?:^|_)(?:key|token|secret|password|passphrase|credentials?)$", re.IGNORECASE)
"""What the variables and keys are called whose values are."""


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
