"""The clients: which have us, and whether what they start is this installation."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, cast

from omni_mcp.clients import files
from omni_mcp.clients.catalog import CLIENTS, ClientKind, Place
from omni_mcp.clients.launch import SCRIPT, answers, console_script
from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, note, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, program
from omni_mcp.errors import SettingsError
from omni_mcp.this_machine import leads_here

Entry = Mapping[str, Any]

OPTIONS = {"OMNI_HOME": "--home", "OMNI_CONFIG": "--config"}
"""What an entry may name, and how `install` is told of it."""
VARIABLES = {option: variable for variable, option in OPTIONS.items()}
OURS = ("command", "args", "env", "type", "connectionTimeoutMs", "requestTimeoutMs")
"""The keys of an entry that `install` writes."""


def clients(scene: Scene) -> Iterator[Finding]:
    """Look into the configuration of every client that we know."""
    here = Place(variables=scene.variables)
    found = [finding for name, client in CLIENTS.items() for finding in _one(name, client, here, scene)]
    yield from found
    if not found:
        text = "no client that we know has this server yet"
        yield note("no-client", text, fix=f"{program()} install claude-code --yes")


def _one(name: str, client: ClientKind, here: Place, scene: Scene) -> Iterator[Finding]:
    path = client.path(here)
    try:
        entry = _entry(client, path)
    except SettingsError as error:
        text = f"{client.title} cannot read its {path}: {error.message}"
        yield Finding(
            code="client-unreadable", severity=Severity.WARNING, text=text, about=name, fix=edit(path), needs=AN_EDIT
        )
        return
    if entry is not None:
        yield _judged(name, client, entry, scene)


def _entry(client: ClientKind, path: Path) -> Entry | None:
    """Return what a client starts under our name; None if it has nothing there. Raises SettingsError."""
    content = files.read(path)
    if content is None:
        return None
    entry = client.editor.find(files.decoded(path, content), client.keys)
    return cast("Entry", entry) if isinstance(entry, dict) else None


def _judged(name: str, client: ClientKind, entry: Entry, scene: Scene) -> Finding:
    command, (named, lost) = str(entry.get("command") or ""), _read(entry)
    fix: dict[str, Any] = {
        "fix": _reinstall(name, named),
        "needs": f"a decision: it drops {', '.join(lost)}" if lost else None,
        "safe": name != "json" and not lost,  # the current folder may be anybody's
    }
    if not command:
        return _elsewhere(name, client, str(entry.get("url")))
    if (program_there := shutil.which(command)) is None:
        text = f"{client.title} starts {command}, which is not there (any more): it does not have our tools"
        return Finding(code="client-stale", severity=Severity.ERROR, text=text, about=name, **fix)
    if Path(command).stem == SCRIPT and not _is_this(program_there):
        text = f"{client.title} starts another installation, {command}: two releases on one ledger"
        return Finding(code="client-other", severity=Severity.WARNING, text=text, about=name, **fix)
    home = named.get("OMNI_HOME")
    if home and Path(home) != scene.home.root:
        return note("client-home", f"{client.title} uses another home: {home}", about=name)
    return ok("client", f"{client.title} starts {command}", about=name)


def _elsewhere(name: str, client: ClientKind, url: str) -> Finding:
    if leads_here(url) and not answers(url):
        text = f"{client.title} reaches us at {url}, where nobody listens"
        fix, needs = f"{program()} serve", "a terminal of its own: it runs until it is ended"
        return Finding(code="client-unserved", severity=Severity.WARNING, text=text, about=name, fix=fix, needs=needs)
    return note("client-elsewhere", f"{client.title} reaches us at {url}", about=name)


def _read(entry: Entry) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the home and the settings file that an entry names, and what else of it `install` would not write."""
    env: Entry = cast("Entry", entry["env"]) if isinstance(entry.get("env"), dict) else {}
    args = list(map(str, cast("list[Any]", entry["args"]))) if isinstance(entry.get("args"), list) else []
    by_args, rest = _options(args)
    by_env = {variable: str(env[variable]) for variable in OPTIONS if env.get(variable)}
    named = {**by_env, **by_args}
    kept = {variable: value for variable, value in named.items() if _is_place(value)}
    others = [key for key in entry if key not in OURS]
    variables = [f"env {variable}" for variable in env if variable not in OPTIONS]
    refused = [f"{OPTIONS[variable]} {value!r}" for variable, value in named.items() if variable not in kept]
    return kept, [*others, *variables, *refused, *(["args"] if rest else [])]


def _options(args: Sequence[str]) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return our own options among arguments, by their variables, and the arguments that are none of ours."""
    named: dict[str, str] = {}
    rest: list[str] = []
    words = iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        if option in VARIABLES:
            named[VARIABLES[option]] = value if equals else next(words, "")
        else:
            rest.append(word)
    return named, rest


def _is_place(value: str) -> bool:
    """Whether a value is the same place for everybody; `--yes` and `home` are not."""
    return value.startswith("~") or Path(value).is_absolute()


def _reinstall(name: str, named: Mapping[str, str]) -> str:
    """Return the command that writes us anew into a client, with the home and the file that it names now."""
    words = ["--project"] if name == "json" else []
    words += [word for variable, value in named.items() for word in (OPTIONS[variable], value)]
    return " ".join([program(), "install", name, *map(quote, words), "--force --yes"])


def _is_this(program_there: str) -> bool:
    try:
        return Path(program_there).resolve() == Path(console_script()).resolve()
    except SettingsError:
        return False
